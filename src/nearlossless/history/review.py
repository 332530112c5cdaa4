"""What `nearlossless history` does: load, line up, print, search, plot."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nearlossless.history.changes import LEAST_RUNS
from nearlossless.history.figures import FIGURES
from nearlossless.history.findings import UNSEARCHED, can_search, findings
from nearlossless.history.plot import Row, plot
from nearlossless.history.store import newest
from nearlossless.history.tracks import Wanted, line_up
from nearlossless.printable import printable
from nearlossless.report.history import render_track


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What of a store is looked at."""

    wanted: Wanted
    figures: Sequence[str]  # names; none means all that were measured
    runs: int  # the newest so many
    plot: Path | None


def review(store: Path, look: Look, say: Callable[[str], None], warn: Callable[[str], None], *, colour: bool) -> None:
    """
    Print every track with its changes, name what was left out, and draw the plot if one is wanted.

    Raises:
        OSError: The store cannot be read, or the plot not written.
        PlotError: The plot cannot be drawn.
    """
    loaded = newest(store, look.runs)
    tracks, skipped = line_up(loaded.entries, look.wanted)
    for reason in (*loaded.skipped, *skipped):
        warn(printable(f"left out: {reason}"))
    is_searched = can_search()
    rows: list[Row] = []
    for track in tracks:
        chosen = [figure for name, figure in FIGURES.items() if name in look.figures or not look.figures]
        figures = [
            figure
            for figure in chosen
            if figure.is_time == track.holds_times
            and any(figure.read(point.subject) is not None for point in track.points)
        ]
        found = [(track, figure, findings(track, figure) if is_searched else []) for figure in figures]
        if found:
            say(render_track(track, figures, [each for row in found for each in row[2]], colour=colour) + "\n")
        rows += found
    say(_summary(len(loaded.entries), sum(len(row[2]) for row in rows), is_searched=is_searched, rows=rows))
    if look.plot is not None:
        plot(rows, look.plot)
        say(f"plot: {look.plot}")


def _summary(runs: int, changes: int, *, is_searched: bool, rows: Sequence[Row]) -> str:
    if not rows:
        return f"{runs} run(s) loaded, none of which measured what was asked for"
    if not is_searched:
        return f"{runs} run(s); {UNSEARCHED}"
    short = sum(len(track.usable(figure)) < LEAST_RUNS for track, figure, _ in rows)
    searched = f"{runs} run(s), {changes} change(s) in {len(rows) - short} series"
    return f"{searched}; {short} series of fewer than {LEAST_RUNS} runs not searched" if short else searched
