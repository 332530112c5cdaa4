"""Backends of the benchmark: a leak of a known size a call, and what is none."""

import logging
import logging.handlers
import os
import tempfile
from collections import OrderedDict, deque
from collections.abc import Callable
from functools import cache
from itertools import cycle
from typing import Any

import torch

MIB = 1024**2
OUTLIVING: list[Any] = []


class Doing:
    """A pipeline that does something before each call; everything else is the wrapped one's."""

    def __init__(self, pipeline: Any, each: Callable[[], object]) -> None:
        self._pipeline, self._each = pipeline, each

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pipeline, name)

    def __call__(self, **options: Any) -> Any:
        """Do it, then draw."""
        self._each()
        return self._pipeline(**options)


def leak(pipeline: Any, *, kind: str, size_bytes: int) -> Any:
    """Keeps so many bytes more with each call: of Python's, or in a tensor."""
    kept: list[Any] = []

    def each() -> None:
        kept.append(bytearray(b"\1") * size_bytes if kind == "host" else torch.ones(size_bytes, dtype=torch.uint8))

    return Doing(pipeline, each)


def outlives(pipeline: Any) -> Any:
    """Keeps the whole pipeline."""
    OUTLIVING.append(pipeline)
    return pipeline


def nothing(pipeline: Any) -> Any:
    """The pipeline as it is."""
    return pipeline


def garbage(pipeline: Any) -> Any:
    """Leaves cycles with tensors and blocks in them to the collector."""

    def each() -> None:
        for _ in range(8):
            ring: list[Any] = [bytearray(b"\1") * MIB, torch.ones(MIB, dtype=torch.uint8)]
            ring.append(ring)

    return Doing(pipeline, each)


def allocator_growth(pipeline: Any) -> Any:
    """Frees blocks of ever other sizes in another order than it takes them; a bounded number of them stays."""
    sizes = cycle([100, 70_000, 3_000, 1_300_000, 12, 500_000, 9_000])
    held: deque[bytearray] = deque(maxlen=64)

    def each() -> None:
        blocks = [bytearray(b"\1") * next(sizes) for _ in range(100)]
        held.extend(blocks[::9])
        del blocks[::2]

    return Doing(pipeline, each)


def cache_that_fills(pipeline: Any) -> Any:
    """Two caches that fill once, 1 MiB at each call until they are full: one by key, one that drops the oldest."""
    numbers = cycle(range(24))
    newest: OrderedDict[int, torch.Tensor] = OrderedDict()

    @cache
    def by_key(number: int) -> bytearray:
        return bytearray([number]) * MIB

    def each() -> None:
        number = next(numbers)
        by_key(number)
        newest[number] = torch.ones(MIB, dtype=torch.uint8)
        if len(newest) > 16:
            newest.popitem(last=False)

    return Doing(pipeline, each)


class Recent(logging.Handler):
    """Keeps the records that fit."""

    def __init__(self, kept: deque[logging.LogRecord]) -> None:
        super().__init__()
        self._kept = kept

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one."""
        self._kept.append(record)


def logs(pipeline: Any) -> Any:
    """Writes a hundred lines a call to a file, and keeps the last thousand."""
    folder = tempfile.mkdtemp(prefix="nearlossless-bench-")
    path, recent = os.path.join(folder, "log"), deque[logging.LogRecord](maxlen=1000)  # noqa: PTH118 (a name only)
    logger = logging.getLogger("nearlossless-bench")
    logger.propagate = False
    logger.setLevel(logging.INFO)
    logger.addHandler(Recent(recent))
    logger.addHandler(logging.handlers.RotatingFileHandler(path, maxBytes=100_000, backupCount=1))

    def each() -> None:
        for number in range(100):
            logger.info("step %d of a call, %s", number, "x" * 200)

    return Doing(pipeline, each)
