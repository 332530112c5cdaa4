"""What Dynamo compiled and why, in its own words: the frame, and the guard that failed; torch 2.4 and later."""

import logging
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from nearlossless.record.shapes import Recompile

_ARTIFACT, _LOGGER = "recompiles", "torch._dynamo.guards.__recompiles"
_MESSAGE = re.compile(r"Recompiling function (?P<function>.+?) in (?P<place>.+:\d+)\n(?P<rest>.*)", re.DOTALL)
_COMPILE_ID = re.compile(r"^\d+/\d+(_\d+)?: ")
MOST_GUARDS, LONGEST_GUARD = 3, 240  # one of each variant of a frame that is compiled already
FIRST_TIME = "compiled for the first time"
Frame = tuple[str, str]  # name of the function, file:line


class _Handler(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the message."""
        self.messages.append(record.getMessage())


@contextmanager
def recompile_log() -> Iterator[list[str]]:
    """
    A list that gets each message of torch's log of recompilations, which is printed only where the user asked for it.

    `torch._logging.set_logs` would switch off whatever else `TORCH_LOGS` switched on.
    """
    from torch._logging._internal import log_state

    logger, handler = logging.getLogger(_LOGGER), _Handler()
    was_on, level, propagates = _ARTIFACT in log_state.artifact_names, logger.level, logger.propagate
    others = list(logger.handlers)
    logger.addHandler(handler)
    try:
        if not was_on:
            log_state.artifact_names.add(_ARTIFACT)
            logger.propagate = False
            for other in others:
                logger.removeHandler(other)
        logger.setLevel(logging.DEBUG)
        yield handler.messages
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        if not was_on:
            log_state.artifact_names.discard(_ARTIFACT)
            logger.propagate = propagates
            for other in others:
                logger.addHandler(other)


def parsed(message: str) -> Recompile | None:
    """A message of torch's log of recompilations; None for anything else."""
    found = _MESSAGE.match(message)
    if found is None:
        return None
    return Recompile(function=found["function"], place=found["place"], guard=_guards(found["rest"]))


def _guards(text: str) -> str:
    lines = [line.strip() for line in text.splitlines()]
    found = [line.removeprefix("- ").strip() for line in lines if line.startswith("- ")]
    # Newer versions put the compilation before each guard, and the user's stack on further lines below it.
    named = [_COMPILE_ID.sub("", line) for line in found if _COMPILE_ID.match(line)] or found
    told = [" ".join(guard.split())[:LONGEST_GUARD] for guard in dict.fromkeys(named)]
    told.sort(key=lambda guard: "['self']" in guard)  # these mostly tell one repeated block from another
    return "; ".join(told[:MOST_GUARDS]) or "torch names no guard"


def _compiled_frames() -> list[Any]:
    """Torch's own metrics of compilations, the latest of them; each an object of its own."""
    from torch._dynamo.utils import get_compilation_metrics

    return list(get_compilation_metrics())


@contextmanager
def told_compiles() -> Iterator[list[Recompile]]:
    """A list that has, after the block, each compilation inside it that torch tells of."""
    told: list[Recompile] = []
    before = _compiled_frames()  # keeps them alive, so that no new one gets the address of an old one
    known = {id(metrics) for metrics in before}
    with recompile_log() as messages:
        try:
            yield told
        finally:
            told += [event for event in map(parsed, messages) if event is not None]
            logged = Counter((event.function, event.place) for event in told)
            for metrics in _compiled_frames():
                frame = _frame(metrics) if id(metrics) not in known else None
                if frame is not None and logged[frame] == 0:
                    told.append(Recompile(function=frame[0], place=frame[1], guard=FIRST_TIME))
                elif frame is not None:
                    logged[frame] -= 1


def _frame(metrics: Any) -> Frame | None:
    if getattr(metrics, "co_name", None) is None:  # of a backward graph
        return None
    return metrics.co_name, f"{metrics.co_filename}:{metrics.co_firstlineno}"


def refusing_compiles() -> AbstractContextManager[Any]:
    """
    Let torch raise where it would compile: by `fail_on_recompile` (2.6), else by `error_on_recompile`.

    The latter is silent on the first compile of a new frame.
    """
    import torch

    if hasattr(torch.compiler, "set_stance"):
        stance: AbstractContextManager[Any] = torch.compiler.set_stance("fail_on_recompile")
        return stance
    import torch._dynamo.config

    refusing: AbstractContextManager[Any] = torch._dynamo.config.patch(error_on_recompile=True)
    return refusing


def is_refusal(message: str) -> bool:
    """Whether an error's message is what torch says under `refusing_compiles`."""
    return "Detected recompile when torch.compile stance" in message or "RecompileError" in message


@contextmanager
def counted_recordings() -> Iterator[Callable[[], int]]:
    """
    Count the CUDA graphs that Inductor records; torch 2.4 and later.

    Its callback for this came with 2.8; every version records in this one method.
    """
    trees = sys.modules.get("torch._inductor.cudagraph_trees")  # imported with the first recording, in the warm-up
    manager = getattr(trees, "CUDAGraphTreeManager", None)
    if manager is None or not hasattr(manager, "record_function"):
        yield lambda: 0
        return
    record, count = manager.record_function, [0]

    def recorded(*arguments: Any, **options: Any) -> Any:
        count[0] += 1
        return record(*arguments, **options)

    manager.record_function = recorded
    try:
        yield lambda: count[0]
    finally:
        manager.record_function = record
