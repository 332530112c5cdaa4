"""Latency at each size, as a table ordered by pixels."""

import statistics

from nearlossless.record.shapes import SizeRecord
from nearlossless.record.subject import SubjectRecord

REQUEST_HEADINGS = ("request", "first call", "baseline", "compiled", "speedup", "compiles", "problems")
SHAPE_HEADINGS = ("size", "megapixels", "baseline", "compiled", "speedup", "compiles")


def shape_rows(subject: SubjectRecord) -> list[tuple[str, ...]]:
    """A row for each call of the shapes gate, the smallest picture first; medians where there are several calls."""
    return list(map(_row, _by_pixels(subject)))


def request_rows(subject: SubjectRecord) -> list[tuple[str, ...]]:
    """The same under `REQUEST_HEADINGS`: with the first call's time and with what went wrong."""
    return [
        (title, f"{size.latency_s:.3f} s", *measured, ", ".join(size.problems) or "-")
        for size in _by_pixels(subject)
        for title, _, *measured in [_row(size)]
    ]


def _by_pixels(subject: SubjectRecord) -> list[SizeRecord]:
    return sorted(subject.sizes, key=lambda size: size.height * size.width)


def _row(size: SizeRecord) -> tuple[str, ...]:
    baseline, compiled = (statistics.median(side) if side else None for side in (size.baseline_s, size.compiled_s))
    speedup = f"{baseline / compiled:.2f}x" if baseline and compiled else "-"
    pixels = f"{size.height * size.width / 1e6:.3f}"
    return size.title, pixels, _seconds(baseline), _seconds(compiled), speedup, str(size.compiles)


def _seconds(seconds: float | None) -> str:
    return f"{seconds:.3f} s" if seconds is not None else "-"
