"""By how much a call, or a phase of it, changed: intervals from the pairs that count, for tables."""

import math
import statistics
from collections.abc import Callable, Iterator, Sequence

from nearlossless.cases.case import Sampling
from nearlossless.evidence import MeanJudge
from nearlossless.record.speed import PhaseTimes, ReplicatedSamples, Samples
from nearlossless.sequential import Interval
from nearlossless.speed.latencies import is_latency

Figure = Callable[[PhaseTimes], float | None]


def time_change(speeds: ReplicatedSamples, sampling: Sampling) -> Interval | None:
    """
    Interval for the compiled pipeline's end-to-end time over the baseline's, valid at any stopping time.

    It is that of the mean of the pairs' log-ratios, in blocks where they correlate, and with several processes the hull
    of their intervals at a share of the error rate each.

    Args:
        speeds: Pairs of each process.
        sampling: Error rate, all processes together; smallest number of pairs.

    Returns:
        Compiled over baseline; None where a process has too few pairs, or a latency that no clock can have measured.
    """
    return _hull(speeds, sampling, lambda run: zip(run.baseline_s, run.compiled_s, strict=False))


def phase_change(speeds: ReplicatedSamples, figure: Figure, sampling: Sampling) -> Interval | None:
    """
    The same for what a call tells by phase.

    Args:
        speeds: Pairs of each process, with the phases of their calls.
        figure: Picks what is compared from the phases of one call, in any unit, above 0.
        sampling: Error rate, all processes together; smallest number of pairs.

    Returns:
        Compiled over baseline; None where a process has no such figure for each of its pairs, or too few pairs.
    """

    def figures(run: Samples) -> "Iterator[tuple[float | None, float | None]]":
        if len(run.baseline_phases) == len(run.compiled_phases) == len(run.baseline_s):
            for baseline, compiled in zip(run.baseline_phases, run.compiled_phases, strict=True):
                yield figure(baseline), figure(compiled)

    return _hull(speeds, sampling, figures)


def _hull(
    speeds: ReplicatedSamples,
    sampling: Sampling,
    figures: Callable[[Samples], Iterator[tuple[float | None, float | None]]],
) -> Interval | None:
    runs = speeds.processes
    shared = sampling.shared_by(len(runs))
    intervals = [_mean_interval(_log_ratios(run, figures(run)), shared) for run in runs]
    known = [each for each in intervals if each is not None]
    if len(known) < len(runs):
        return None
    return Interval(min(each.low for each in known), max(each.high for each in known))


def _log_ratios(run: Samples, figures: Iterator[tuple[float | None, float | None]]) -> list[float]:
    """Of the pairs that count; none where one of them cannot be compared."""
    set_aside = run.set_aside or [None] * len(run.baseline_s)
    if not len(run.baseline_s) == len(run.compiled_s) == len(set_aside):  # a record may hold anything
        return []
    found: list[float] = []
    for reason, (baseline, compiled) in zip(set_aside, figures, strict=False):
        if reason is not None:
            continue
        if baseline is None or compiled is None or not (is_latency(baseline) and is_latency(compiled)):
            return []
        found.append(math.log(compiled / baseline))
    return found


def _mean_interval(ratios: Sequence[float], sampling: Sampling) -> Interval | None:
    if not ratios:
        return None
    # Around their middle: whether samples correlate is told from those within the judge's band.
    judge = MeanJudge(statistics.median(ratios), sampling=sampling)
    for ratio in ratios:
        judge.add(ratio)
    found = judge.interval(clipped=False).exponential()
    return found if 0 < found.low <= found.high < math.inf else None
