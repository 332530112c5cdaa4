"""A track over time as text: a table with one line a run, and what changed."""

from collections.abc import Sequence

from nearlossless.history.figures import Figure
from nearlossless.history.findings import Finding, shown_time
from nearlossless.history.tracks import Track
from nearlossless.printable import printable
from nearlossless.report.console import render_cells


def render_track(track: Track, figures: Sequence[Figure], found: Sequence[Finding], *, colour: bool) -> str:
    """The table of a track, a line for each value that is no measurement, and the findings."""
    rows = [
        (shown_time(point), *(figure.shown(figure.read(point.subject)) for figure in figures)) for point in track.points
    ]
    table = render_cells(("", *(figure.name for figure in figures)), rows, title=track.title, colour=colour)
    unusable = [(figure.name, track.unusable(figure)) for figure in figures]
    lines = [f"{name}: {count} run(s) left out, their value is no measurement" for name, count in unusable if count]
    return "\n".join([table, *lines, *(printable(line) for finding in found for line in finding.lines())])
