"""By how much the phases of a call changed, with an interval from the same pairs as the speedup's."""

import math
from collections.abc import Callable

from nearlossless.cases.case import Sampling
from nearlossless.evidence import MeanJudge
from nearlossless.record.speed import PhaseTimes, ReplicatedSamples, Samples
from nearlossless.sequential import Interval
from nearlossless.speed.latencies import is_latency

Figure = Callable[[PhaseTimes], float | None]


def change_interval(speeds: ReplicatedSamples, figure: Figure, sampling: Sampling) -> Interval | None:
    """
    Interval for a figure of the compiled pipeline over the baseline's, valid at any stopping time.

    It is made as the speedup's: of the mean of log-ratios over the pairs that count, in blocks where they correlate,
    and with several processes the hull of their intervals at a share of the error rate each.

    Args:
        speeds: Pairs with the phases of their calls.
        figure: Picks what is compared from the phases of one call, in any unit, above 0.
        sampling: Error rate, all processes together; smallest number of pairs.

    Returns:
        Compiled over baseline; None where a process has no such figure for each of its pairs, or too few pairs.
    """
    runs: list[Samples] = [speeds, *speeds.replicas]
    intervals = [_interval(run, figure, sampling.shared_by(len(runs))) for run in runs]
    known = [each for each in intervals if each is not None]
    if len(known) < len(runs):
        return None
    return Interval(min(each.low for each in known), max(each.high for each in known))


def _interval(run: Samples, figure: Figure, sampling: Sampling) -> Interval | None:
    if not len(run.baseline_phases) == len(run.compiled_phases) == len(run.baseline_s):
        return None
    judge = MeanJudge(0.0, sampling=sampling)
    set_aside = run.set_aside or [None] * len(run.baseline_s)
    for reason, *calls in zip(set_aside, run.baseline_phases, run.compiled_phases, strict=True):
        if reason is not None:
            continue
        baseline, compiled = (figure(call) for call in calls)
        if baseline is None or compiled is None or not (is_latency(baseline) and is_latency(compiled)):
            return None
        judge.add(math.log(compiled / baseline))
    found = judge.interval(clipped=False).exponential()
    return found if 0 < found.low <= found.high < math.inf else None
