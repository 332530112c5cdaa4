"""The changes of a figure over a track, each with what changed in the stack at that time."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from nearlossless.history.changes import LEAST_RUNS, Change, find_changes
from nearlossless.history.figures import Figure
from nearlossless.history.tracks import Point, Track, differences

UNSEARCHED = "changes were not looked for: pip install 'nearlossless[history]'"
_NEAR = 2  # runs: so far a step may be misdated


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One change of a figure, between two runs."""

    figure: Figure
    change: Change
    before: Point
    after: Point
    causes: list[str]  # what else changed, for a step up to two runs aside

    def lines(self) -> list[str]:
        """What is said about it: the change, then one line for each thing that changed in the stack."""
        change, figure = self.change, self.figure
        size = f"{figure.change(change.before, change.after)}, {figure.shown(change.before)} -> "
        size += figure.shown(change.after)
        times = f"{shown_time(self.before)} and {shown_time(self.after)}"
        how = f"drifts over {change.first - change.last} runs" if change.is_drift else "changes"
        causes = self.causes or ["nothing that the records name changed in the stack"]
        return [f"{figure.name} {how} between {times}: {size}", *(f"    {cause}" for cause in causes)]


def shown_time(point: Point) -> str:
    """When a run started, in UTC, to the minute."""
    return point.started.strftime("%Y-%m-%d %H:%M")


def can_search() -> bool:
    """Whether what finds changes is installed."""
    return find_spec("ruptures") is not None


def unsearched(runs: int) -> str | None:
    """Why no changes are looked for in so many runs; None where they are."""
    if not can_search():
        return UNSEARCHED
    return f"fewer than {LEAST_RUNS} runs are not searched for changes" if runs < LEAST_RUNS else None


def findings(track: Track, figure: Figure) -> list[Finding]:
    """Steps and drifts of a figure over the usable runs of a track."""
    usable = track.usable(figure)
    points = [point for point, _ in usable]
    changes = find_changes([value for _, value in usable], resolution=figure.resolution, is_relative=figure.is_positive)
    return [
        Finding(
            figure=figure,
            change=change,
            before=points[change.last],
            after=points[change.first],
            causes=_causes(points, change),
        )
        for change in changes
    ]


def _causes(points: Sequence[Point], change: Change) -> list[str]:
    """What changed between the two runs of a change; where nothing did, what changed nearest to a step."""
    found = differences(points[change.last].fingerprint, points[change.first].fingerprint)
    if found or change.is_drift:
        return found
    for distance in range(1, _NEAR + 1):
        for last in (change.last - distance, change.last + distance):
            if last >= 0 and last + 1 < len(points):
                found += [
                    f"{difference} ({shown_time(points[last + 1])}, {distance} run(s) aside)"
                    for difference in differences(points[last].fingerprint, points[last + 1].fingerprint)
                ]
        if found:
            return found
    return []
