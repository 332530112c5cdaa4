"""Any size: latency over megapixels."""

import statistics
from typing import TYPE_CHECKING, Any

from nearlossless.record.shapes import SizeRecord
from nearlossless.record.subject import SubjectRecord
from nearlossless.report.plots.drawing import Drawing, legend
from nearlossless.report.svg import BASELINE, COMPILED, THRESHOLD
from nearlossless.speed.latencies import is_latency

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def sizes(subject: SubjectRecord) -> Drawing | None:
    """Every call of the shapes gate, with those that were compiled anew or went wrong."""
    timed = [size for size in subject.sizes if is_latency(_compiled_s(size))]
    if not timed:
        return None
    compiled = [(_megapixels(size), _compiled_s(size)) for size in timed]
    beside = [(_megapixels(size), statistics.median(size.baseline_s)) for size in timed if size.baseline_s]
    baseline = [point for point in beside if is_latency(point[1])]
    red = [point for point, size in zip(compiled, timed, strict=True) if size.compiles or size.problems]
    marked: list[tuple[list[tuple[float, float]], str, dict[str, Any]]] = [
        (baseline, "o", {"color": BASELINE, "alpha": 0.6, "label": "baseline"}),
        (compiled, "o", {"color": COMPILED, "alpha": 0.8, "label": "compiled"}),
        (red, "x", {"color": THRESHOLD, "markersize": 10, "label": "recompiled or wrong"}),
    ]

    def draw(axes: "Axes") -> None:
        for points, marker, look in marked:
            if points:
                axes.plot(*zip(*points, strict=True), marker, **look)
        legend(axes)
        axes.set_xlabel("megapixels")
        axes.set_ylabel("seconds a call")
        axes.set_ylim(bottom=0)

    seconds = [latency for _, latency in compiled]
    words = f"{len(timed)} calls, {min(seconds):.3g} to {max(seconds):.3g} s; {len(red)} compiled anew or went wrong."
    return Drawing(title="Latency by size", words=words, draw=draw)


def _compiled_s(size: SizeRecord) -> float:
    return statistics.median(size.compiled_s or [size.latency_s])


def _megapixels(size: SizeRecord) -> float:
    return size.height * size.width / 1e6
