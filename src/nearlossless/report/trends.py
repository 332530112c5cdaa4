"""A recipe's figures over the kept runs, with the steps and drifts found in them, as plots of a page."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from nearlossless.history.figures import FIGURES, Figure
from nearlossless.history.findings import findings, shown_time, unsearched
from nearlossless.history.store import Entry
from nearlossless.history.tracks import Track, Wanted, line_up
from nearlossless.record.subject import SubjectRecord
from nearlossless.report.plots import Plot
from nearlossless.report.plots.drawing import drawn
from nearlossless.report.svg import COMPILED, THRESHOLD

_SHOWN = ("speedup", "compiled-latency", "peak-memory", "live-ssim")
_FEWEST = 2  # runs that make a line


def trend(subject: SubjectRecord, history: Sequence[Entry], name: str) -> list[Plot]:
    """
    One plot for each figure that at least two comparable runs measured.

    Args:
        subject: Of this run; only runs on its own device count, or for figures that are no times, on its model.
        history: Kept records, oldest first.
        name: Begins the ids of the plots.
    """
    if subject.fingerprint is None:
        return []
    tracks, _ = line_up(history, Wanted(case=subject.case, recipe=subject.recipe))
    found = []
    for wanted in _SHOWN:
        figure = FIGURES[wanted]
        for track in tracks:
            points = [(point.started, value) for point, value in track.usable(figure)] if _fits(track, subject) else []
            if figure.is_time == track.holds_times and len(points) >= _FEWEST:
                found.append(_plot(track, figure, points, f"{name}-{figure.name}"))
    return found


def _fits(track: Track, subject: SubjectRecord) -> bool:
    last = track.points[-1]
    assert subject.fingerprint is not None
    if last.subject.title != subject.title:
        return False
    if track.holds_times:
        return last.fingerprint.timing == subject.fingerprint.timing
    return last.fingerprint.picture == subject.fingerprint.picture


def _plot(track: Track, figure: Figure, points: list[tuple[datetime, float]], name: str) -> Plot:
    problem = unsearched(len(points))
    changes = findings(track, figure) if problem is None else []
    told = [
        f"{'drift' if f.change.is_drift else 'step'} of {figure.change(f.change.before, f.change.after)}"
        f" up to {shown_time(f.after)}"
        for f in changes
    ]
    first, last = (figure.shown(points[at][1]) for at in (0, -1))
    words = f"{len(points)} runs, from {first} to {last}; {', '.join(told) or problem or 'no change point found'}."

    def draw(axes: Any) -> None:
        from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

        axes.plot([time for time, _ in points], [value for _, value in points], ".-", color=COMPILED, linewidth=0.8)
        for finding in changes:
            ends = [finding.before.started, finding.after.started]
            axes.axvspan(*ends, color=THRESHOLD, alpha=0.2, linewidth=0)
            axes.plot(ends, [finding.change.before, finding.change.after], color=THRESHOLD)
        locator = AutoDateLocator(maxticks=6)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
        axes.set_ylabel(f"{figure.name} {figure.unit}".rstrip())

    return Plot(title=f"History: {figure.name}", words=words, svg=drawn(draw, name=name, label=words))
