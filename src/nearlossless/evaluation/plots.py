"""The distributions of an evaluation as drawings: paired CLIP scores, and how many prompts lie below each figure."""

import io
import re
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from nearlossless.evaluation.figures import columns
from nearlossless.evaluation.store import results_in

MOST_STEPS = 2000
MOST_POINTS = 5000  # of a scatter: a page with more is slow to open
_WIDTH_IN, _HEIGHT_IN = 5.5, 4.0


def plots(folder: Path, judged: int) -> list[tuple[str, str]]:
    """
    Caption and SVG of each drawing.

    Args:
        folder: Of results.
        judged: How many of them, in the order of drawing.
    """
    found = columns(islice(results_in(folder), judged))
    drawn = []
    before, after = found["CLIP, baseline"], found["CLIP, recipe"]
    if not np.isnan(before).all():
        drawn.append(("CLIP score of each prompt, baseline and recipe", _scatter(before, after)))
        gains = -found["CLIP drop, points"]
        drawn.append(("prompts whose CLIP score changes by no more than", _cumulative(gains, "change, points")))
    shown = [name for name in ("worst-tile SSIM", "PSNR, dB") if np.isfinite(found[name]).any()]
    return drawn + [(f"prompts with no higher {name}", _cumulative(found[name], name)) for name in shown]


def _sheet() -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    sheet = Figure(figsize=(_WIDTH_IN, _HEIGHT_IN), layout="constrained")
    axis = sheet.subplots()
    axis.grid(alpha=0.3)
    return sheet, axis


def _scatter(before: np.ndarray, after: np.ndarray) -> str:
    sheet, axis = _sheet()
    axis.scatter(before[:MOST_POINTS], after[:MOST_POINTS], s=6, alpha=0.5, linewidths=0)
    low, high = float(np.nanmin([before, after])), float(np.nanmax([before, after]))
    axis.plot([low, high], [low, high], color="grey", linewidth=0.8)
    axis.set_xlabel("baseline")
    axis.set_ylabel("recipe")
    return _svg(sheet)


def _cumulative(values: np.ndarray, name: str) -> str:
    """Share of prompts at or below each value; logarithmic, since the bad ones are few."""
    sheet, axis = _sheet()
    known = np.sort(values[np.isfinite(values)])
    shown = np.unique(np.geomspace(1, len(known), MOST_STEPS).astype(int))  # the bad end to the last prompt
    axis.step(known[shown - 1], shown / len(values), where="post")
    axis.set_yscale("log")
    axis.set_xlabel(name)
    axis.set_ylabel("share of prompts")
    return _svg(sheet)


def _svg(sheet: Any) -> str:
    import matplotlib as mpl

    drawn = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "nearlossless"}):  # the same results draw the same file
        sheet.savefig(drawn, format="svg", metadata={"Date": None})
    return re.sub(r"^.*?(?=<svg)", "", drawn.getvalue(), flags=re.DOTALL)
