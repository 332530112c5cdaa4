"""Latency at each size, as a table ordered by pixels."""

import statistics

from nearlossless.record.shapes import SizeRecord
from nearlossless.record.subject import SubjectRecord

SHAPE_HEADINGS = ("size", "megapixels", "baseline", "compiled", "speedup", "compiles")


def shape_rows(subject: SubjectRecord) -> list[tuple[str, ...]]:
    """A row for each call of the shapes gate, the smallest picture first; medians where there are several calls."""
    return list(map(_row, sorted(subject.sizes, key=lambda size: size.height * size.width)))


def _row(size: SizeRecord) -> tuple[str, ...]:
    baseline, compiled = (statistics.median(side) if side else None for side in (size.baseline_s, size.compiled_s))
    speedup = f"{baseline / compiled:.2f}x" if baseline and compiled else "-"
    pixels = f"{size.height * size.width / 1e6:.3f}"
    return size.title, pixels, _seconds(baseline), _seconds(compiled), speedup, str(size.compiles)


def _seconds(seconds: float | None) -> str:
    return f"{seconds:.3f} s" if seconds is not None else "-"
