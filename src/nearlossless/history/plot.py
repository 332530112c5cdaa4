"""Figures over time as a picture: one row for each figure of each track, with steps and drifts marked."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nearlossless.atomic import write_bytes
from nearlossless.history.figures import Figure
from nearlossless.history.findings import Finding
from nearlossless.history.tracks import Track

MOST_ROWS = 40
_WIDTH_IN, _ROW_HEIGHT_IN = 11.0, 2.6

Row = tuple[Track, Figure, Sequence[Finding]]


class PlotError(Exception):
    """Nothing can be drawn; says why."""


def plot(rows: Sequence[Row], path: Path) -> None:
    """
    Draw the rows one below the other.

    Args:
        rows: Tracks, one figure of each, and what was found in it.
        path: Its ending names the format: png, svg, pdf.

    Raises:
        PlotError: No rows, too many of them, an unknown format, or matplotlib is not installed.
        OSError: The file cannot be written.
    """
    try:
        from matplotlib.figure import Figure as Sheet
    except ModuleNotFoundError:
        raise PlotError("a plot needs matplotlib: pip install matplotlib") from None
    if not 0 < len(rows) <= MOST_ROWS:
        raise PlotError(f"{len(rows)} figures to plot, at most {MOST_ROWS}: choose with --case, --recipe, --figure")
    sheet = Sheet(figsize=(_WIDTH_IN, _ROW_HEIGHT_IN * len(rows)), layout="constrained")
    axes = sheet.subplots(len(rows), squeeze=False)
    for row, (axis,) in zip(rows, axes, strict=True):
        _draw(axis, *row)
    drawn = io.BytesIO()
    try:
        sheet.savefig(drawn, format=path.suffix.removeprefix(".") or "png")
    except ValueError as error:
        raise PlotError(f"{path}: {error}") from None
    write_bytes(path, drawn.getvalue())


def _draw(axis: Any, track: Track, figure: Figure, found: Sequence[Finding]) -> None:
    usable = track.usable(figure)
    axis.plot([point.started for point, _ in usable], [value for _, value in usable], ".-", linewidth=0.8)
    for finding in found:
        ends = [finding.before.started, finding.after.started]
        axis.axvspan(*ends, color="tab:red", alpha=0.25)
        axis.plot(ends, [finding.change.before, finding.change.after], color="tab:red")
    # A dollar sign would begin a formula.
    axis.set_title(track.title.replace("$", r"\$"), loc="left", fontsize="small")
    axis.set_ylabel(f"{figure.name} {figure.unit}".rstrip())
    axis.grid(alpha=0.3)
