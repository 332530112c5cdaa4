"""The same step? Step parity over the steps, and over the blocks of one of them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nearlossless.printable import printable
from nearlossless.record.subject import SubjectRecord
from nearlossless.report.plots.drawing import Drawing, legend
from nearlossless.report.svg import BASELINE, COMPILED, THRESHOLD

if TYPE_CHECKING:
    from matplotlib.axes import Axes


_HIGHEST = 1e12  # that is drawn: axes beyond have no scale


def steps(subject: SubjectRecord) -> Drawing | None:
    """Errors against the reference in units of the baseline's own, step by step."""
    found = [(step.step + 1, step.ratio) for step in subject.parity.steps if step.ratio is not None]
    limit = subject.thresholds.max_parity_ratio
    if not found:
        return None

    def draw(axes: "Axes") -> None:
        _ratios(axes, found, limit)
        axes.set_xlabel("denoising step")

    worst = max(found, key=lambda pair: pair[1])
    allowed = "no threshold yet" if limit is None else f"allowed {limit:g}"
    words = f"Step parity at {len(found)} steps, worst {worst[1]:.4g} at step {worst[0]}; {allowed}."
    if subject.parity.divergence:
        words += f" Divergence: {subject.parity.divergence}."
    return Drawing(title="Step parity by step", words=words, draw=draw)


def blocks(subject: SubjectRecord) -> Drawing | None:
    """The same of each block alone, given the baseline's inputs, at the first failing step or the worst."""
    found = [(name, block) for name, block in subject.parity.blocks.items() if block.ratio is not None]
    if not found:
        return None
    points = [(number, block.ratio or 0.0) for number, (_, block) in enumerate(found, 1)]
    worst, ratio = max(points, key=lambda pair: pair[1])
    name, block = found[worst - 1]

    def draw(axes: "Axes") -> None:
        _ratios(axes, points, subject.thresholds.max_parity_ratio)
        axes.annotate(
            printable(name),  # a record's: neither control characters nor formulas
            (worst, _drawn(ratio)),
            xytext=(0, 6),
            textcoords="offset points",
            ha=_side(worst, len(found)),
            fontsize="small",
            parse_math=False,
        )
        axes.locator_params(axis="x", integer=True)
        axes.set_xlabel("block, in the order of calls")

    words = f"{len(found)} blocks alone at step {block.step + 1}, worst {ratio:.4g} in {name}."
    return Drawing(title="Step parity by block", words=words, draw=draw)


def _side(number: int, count: int) -> str:
    """How a text over a point is aligned so that it stays inside the axes."""
    return "left" if number <= count / 3 else "right" if number > 2 * count / 3 else "center"


def _drawn(ratio: float) -> float:
    return min(max(ratio, 0.0), _HIGHEST)


def _ratios(axes: "Axes", found: Sequence[tuple[int, float]], limit: float | None) -> None:
    drawn = [(number, _drawn(ratio)) for number, ratio in found]
    axes.plot(*zip(*drawn, strict=True), "o-", color=COMPILED, linewidth=0.9, label="compiled")
    axes.axhline(1.0, color=BASELINE, linewidth=1.0, label="baseline's own")
    if limit is not None:
        axes.axhline(limit, color=THRESHOLD, linestyle="--", linewidth=1.1, label=f"allowed {limit:g}")
    largest = max(ratio for _, ratio in drawn)
    axes.set_yscale("log" if largest > 20 else "linear")
    axes.set_ylabel("error ratio")
    axes.margins(y=0.15)
    legend(axes)
