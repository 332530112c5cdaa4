"""Counts what Dynamo compiles: after warm-up, another size must compile nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

# Warm-up covers what specializes: a height other than the width, and both orders of them.
WARMUP_SIZES = 3


@dataclass(slots=True)
class Compiles:
    """What was compiled inside `counted_compiles`."""

    graphs: int = 0
    frames: int = 0
    graph_breaks: int = 0

    @property
    def total(self) -> int:
        """Graphs or frames, whichever moved more; a frame can compile to no graph at all."""
        return max(self.graphs, self.frames)


def _counters() -> tuple[int, int, int]:
    from torch._dynamo.utils import counters

    return counters["stats"]["unique_graphs"], counters["frames"]["total"], sum(counters["graph_break"].values())


@contextmanager
def counted_compiles() -> Iterator[Compiles]:
    """
    Count compilations by Dynamo's own counters; torch 2.4 and later.

    There is no counter of recompiles: after warm-up, none of these may move.
    """
    compiles = Compiles()
    graphs, frames, breaks = _counters()
    try:
        yield compiles
    finally:
        now_graphs, now_frames, now_breaks = _counters()
        compiles.graphs, compiles.frames = now_graphs - graphs, now_frames - frames
        compiles.graph_breaks = now_breaks - breaks


def warmup_sizes(sizes: tuple[tuple[int, int], ...]) -> list[tuple[int, int]]:
    """The sizes to call first: one square, one portrait and one landscape, as far as `sizes` holds them."""
    chosen: list[tuple[int, int]] = []
    for kind in (lambda h, w: h == w, lambda h, w: h > w, lambda h, w: h < w):
        chosen += [size for size in sizes if kind(*size)][:1]
    return chosen[:WARMUP_SIZES]
