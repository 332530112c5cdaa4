"""
Where a series of nightly values changes: steps, and drifts too slow for any single night to show.

Change points come from ruptures (PELT, squared error); which of them are believed, and which of them together are one
drift, is decided here. `docs/history.md` gives the rates at which that errs.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Values = NDArray[np.float64]

LEAST_RUNS = 10  # two segments
_SEGMENT = 5  # runs; fewer at a new level may be chance
_PENALTY = 5.0  # times log(runs), in units of the noise's variance: about 20 for 60 runs
_STRONG = 6.0  # evidence by that criterion (Kass and Raftery 1995); with none, one step in 25 is told as a drift
_OUTLIER = 5.0  # standard deviations from the running median of seven runs
_MOST_OUTLIERS = 0.1  # of the runs; more of them are how the series behaves


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """
    A step, or a drift.

    `last` is the index of the last run before it, `first` of the first run after it: neighbours for a step, the
    ends of the slope for a drift. `before` and `after` are the levels there, in the units of the series.
    """

    last: int
    first: int
    before: float
    after: float

    @property
    def is_drift(self) -> bool:
        """Whether it took several runs."""
        return self.first - self.last > 1


def find_changes(series: Sequence[float], *, resolution: float, is_relative: bool) -> list[Change]:
    """
    Steps and drifts of a series, in order; none of one with fewer than `LEAST_RUNS` values.

    Single nights far from their neighbours are taken for accidents. A change point is believed when the levels on
    both sides differ by more than the noise within all segments explains, with the nights' autocorrelation counted:
    its squared distance in standard errors must exceed 5 log(n). Neighbouring change points of one direction, or one
    alone, are a drift when a slope between two levels fits much better than the stairs, by the Bayesian information
    criterion.

    Args:
        series: Finite; positive if relative.
        resolution: Noise is never taken to be smaller: as a share of the value if relative, else in its units.
        is_relative: Look for relative changes, on the logarithms.

    Source:
        Killick, Fearnhead and Eckley 2012, "Optimal detection of changepoints with a linear computational cost",
        arXiv:1101.1438 (PELT); Truong, Oudre and Vayatis 2020, "Selective review of offline change point detection
        methods", arXiv:1801.00718 (ruptures).
    """
    import numpy as np

    if len(series) < LEAST_RUNS:
        return []
    values = np.log(series) if is_relative else np.asarray(series, dtype=float)
    cleaned = _without_accidents(values)
    points = _believed(cleaned, _candidates(cleaned, resolution), resolution)
    changes = list(_merged(cleaned, points, resolution))
    if not is_relative:
        return changes
    return [Change(last=c.last, first=c.first, before=math.exp(c.before), after=math.exp(c.after)) for c in changes]


def _without_accidents(values: "Values") -> "Values":
    """Outliers replaced by the running median (Hampel's filter), unless they are many."""
    import numpy as np
    from scipy.ndimage import median_filter

    median = median_filter(values, size=7, mode="mirror")
    noise = 1.4826 * np.median(np.abs(np.diff(values))) / math.sqrt(2)
    outliers = np.abs(values - median) > _OUTLIER * noise
    cleaned: Values = np.where(outliers, median, values) if outliers.mean() <= _MOST_OUTLIERS else values
    return cleaned


def _candidates(values: "Values", resolution: float) -> list[int]:
    """Indices at which a new segment begins, in units of the noise from one run to the next."""
    import numpy as np
    import ruptures

    noise = max(float(np.std(np.diff(values))) / math.sqrt(2), resolution)
    search = ruptures.KernelCPD(kernel="linear", min_size=_SEGMENT).fit((values / noise)[:, None])
    return [int(point) for point in search.predict(pen=_PENALTY * math.log(len(values)))[:-1]]


def _segments(values: "Values", points: Sequence[int]) -> list["Values"]:
    ends = [0, *points, len(values)]
    return [values[start:end] for start, end in pairwise(ends)]


def _autocorrelation(values: "Values", points: Sequence[int]) -> float:
    """Of neighbouring runs around the levels of their segments; at least 0."""
    import numpy as np

    residuals = np.concatenate([segment - segment.mean() for segment in _segments(values, points)])
    energy = float(residuals @ residuals)
    return max(0.0, float(residuals[1:] @ residuals[:-1]) / energy) if energy else 0.0


def _believed(values: "Values", points: list[int], resolution: float) -> list[int]:
    """The candidates without those, weakest first, that the noise within all segments may explain."""
    rho = _autocorrelation(values, points)
    needed = _PENALTY * math.log(len(values)) * (1 + rho) / (1 - rho)
    points = list(points)
    while points:
        segments = _segments(values, points)
        freedom = len(values) - len(segments)
        variance = max(sum(float(((s - s.mean()) ** 2).sum()) for s in segments) / freedom, resolution**2)
        evidence = [
            float(after.mean() - before.mean()) ** 2 / (variance * (1 / len(before) + 1 / len(after)))
            for before, after in pairwise(segments)
        ]
        weakest = min(range(len(points)), key=evidence.__getitem__)
        if evidence[weakest] >= needed:
            break
        del points[weakest]
    return points


def _merged(values: "Values", points: Sequence[int], resolution: float) -> Iterator[Change]:
    """Each run of change points in one direction as one drift where that fits better, else as steps."""
    levels = [float(segment.mean()) for segment in _segments(values, points)]
    ends = [0, *points, len(values)]
    for _, group in groupby(range(len(points)), key=lambda i: levels[i + 1] > levels[i]):
        run = list(group)
        start, end = ends[run[0]], ends[run[-1] + 2]
        drift = _drift(values[start:end], [points[i] - start for i in run], resolution)
        if drift is not None:
            last, first, before, after = drift
            yield Change(last=start + last, first=start + first, before=before, after=after)
            continue
        for i in run:
            yield Change(last=points[i] - 1, first=points[i], before=levels[i], after=levels[i + 1])


def _drift(values: "Values", points: Sequence[int], resolution: float) -> tuple[int, int, float, float] | None:
    """The best slope between two levels: its two knots and levels, or None where stairs fit as well."""
    import numpy as np

    count, times = len(values), np.arange(len(values))
    stairs = sum(float(((s - s.mean()) ** 2).sum()) for s in _segments(values, points))
    total = float(((values - values.mean()) ** 2).sum())
    best: tuple[float, Any] = (math.inf, None)
    for last in range(points[0]):
        firsts = np.arange(max(points[-1], last + _SEGMENT), count)
        if not len(firsts):
            break
        slopes = np.clip((times - last) / (firsts[:, None] - last), 0, 1)
        centred = slopes - slopes.mean(axis=1, keepdims=True)
        energy = (centred**2).sum(axis=1)
        heights = centred @ values / energy
        errors = total - heights**2 * energy
        i = int(errors.argmin())
        if errors[i] < best[0]:
            before = float(values.mean() - heights[i] * slopes[i].mean())
            best = (float(errors[i]), (last, int(firsts[i]), before, before + float(heights[i])))

    def criterion(error: float, parameters: int) -> float:
        """The Bayesian information criterion, with noise no smaller than the resolution."""
        return count * math.log(max(error / count, resolution**2)) + parameters * math.log(count)

    is_better = criterion(best[0], 4) + _STRONG < criterion(stairs, 2 * len(points) + 1)
    found: tuple[int, int, float, float] | None = best[1] if is_better else None
    return found
