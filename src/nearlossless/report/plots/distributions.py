"""How the prompts of an evaluation are spread: paired CLIP scores, and how many prompts are no better than a figure."""

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nearlossless.evaluation.figures import columns
from nearlossless.evaluation.store import results_in
from nearlossless.report.plots.drawing import Drawing
from nearlossless.report.svg import BASELINE, COMPILED, THRESHOLD

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_STEPS = 2000
MOST_POINTS = 5000  # of a scatter: a page with more is slow to open


def distributions(folder: Path, judged: int, *, min_ssim: float | None) -> list[Drawing]:
    """
    Every drawing that the results allow.

    Args:
        folder: Of results.
        judged: How many of them, in the order of drawing.
        min_ssim: What the live band requires of a picture's worst tile.
    """
    found = columns(islice(results_in(folder), judged))
    before, after = found["CLIP, baseline"], found["CLIP, recipe"]
    drawings = []
    if np.isfinite(before - after).any():
        drawings += [_scatter(before, after), _cumulative("Change of the CLIP score", after - before, "points", None)]
    limits = {"worst-tile SSIM": min_ssim, "PSNR, dB": None}
    shown = [name for name in limits if np.isfinite(found[name]).any()]
    titles = {name: name[0].upper() + name[1:] for name in shown}
    return drawings + [_cumulative(titles[name], found[name], name, limits[name]) for name in shown]


def _scatter(before: np.ndarray, after: np.ndarray) -> Drawing:
    before, after = before[:MOST_POINTS], after[:MOST_POINTS]

    def draw(axes: "Axes") -> None:
        low, high = float(np.nanmin([before, after])), float(np.nanmax([before, after]))
        axes.plot([low, high], [low, high], color=BASELINE, linewidth=0.8)
        axes.scatter(before, after, s=11, alpha=0.6, linewidths=0, color=COMPILED)
        axes.set_xlabel("CLIP score, baseline")
        axes.set_ylabel("CLIP score, recipe")

    words = f"Recipe over baseline, {int(np.isfinite(before - after).sum()):,} prompts; on the line nothing changed."
    return Drawing(title="CLIP score of each prompt", words=words, draw=draw)


def _cumulative(title: str, values: np.ndarray, name: str, limit: float | None) -> Drawing:
    """Share of prompts at or below each value; logarithmic, since the bad ones are few."""
    known = np.sort(values[np.isfinite(values)])
    places = np.unique(np.geomspace(1, len(known), MOST_STEPS).astype(int))  # the bad end to the last prompt

    def draw(axes: "Axes") -> None:
        from matplotlib.ticker import FuncFormatter, NullFormatter

        axes.step(known[places - 1], places / len(values), where="post", color=COMPILED, linewidth=1.2)
        if limit is not None:
            axes.axvline(limit, color=THRESHOLD, linestyle="--", linewidth=1.1)
        axes.set_yscale("log")
        axes.set_ylim(0.7 / len(values), 1.4)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g} %"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel(name)
        axes.set_ylabel("share of prompts")

    words = "Share of prompts that are no better."
    if limit is not None:
        words += f" Dashed: {limit:g}, the least that is allowed; {np.mean(known < limit):.2%} lie below."
    if infinite := int(np.isposinf(values).sum()):
        words += f" {infinite:,} equal pictures, of infinite {name.partition(',')[0]}, lie beyond the right end."
    return Drawing(title=title, words=words, draw=draw)
