"""Latencies: two callables in turn (A B B A ...), or one alone, judged after every sample."""

import dataclasses
import math
import statistics
import time
from collections.abc import Callable

from nearlossless.cases import Sampling
from nearlossless.sequential import Interval, confidence_sequence, median_confidence_sequence
from nearlossless.verdicts import Check, Outcome, found, interval_at_least, interval_at_most

Clock = Callable[[], float]
WARMUP_CALLS = 2


@dataclasses.dataclass(slots=True)
class PairedLatencies:
    """Seconds of both callables, pair by pair, in the order taken."""

    baseline_s: list[float] = dataclasses.field(default_factory=list)
    compiled_s: list[float] = dataclasses.field(default_factory=list)


def timed(call: Callable[[], object], *, clock: Clock = time.perf_counter, synchronize: Callable[[], None]) -> float:
    """Seconds of one call, with the device's queue empty before and after."""
    synchronize()
    start = clock()
    call()
    synchronize()
    return clock() - start


def synchronizer(device: str) -> Callable[[], None]:
    """What waits for a device to finish."""
    if device != "cuda":
        return lambda: None
    import torch

    return torch.cuda.synchronize


def measure_pairs(
    baseline: Callable[[], object],
    compiled: Callable[[], object],
    *,
    sampling: Sampling,
    min_speedup: float | None,
    max_latency_s: float | None = None,
    synchronize: Callable[[], None],
    clock: Clock = time.perf_counter,
    progress: Callable[[int, Check], None] = lambda _pairs, _check: None,
) -> PairedLatencies:
    """
    Time both callables in turn until the speedup, and a latency ceiling if any, is decided or the budget ends.

    Args:
        baseline: Draws one picture as the case does.
        compiled: Draws the same picture under the recipe.
        sampling: Error rate, smallest and largest number of pairs, seconds.
        min_speedup: The floor; None takes the smallest number of pairs.
        max_latency_s: The ceiling of the compiled median; None asks nothing of it.
        synchronize: Waits for the device.
        clock: Seconds; monotonic.
        progress: Told after every pair.
    """
    for _ in range(WARMUP_CALLS):
        timed(baseline, clock=clock, synchronize=synchronize)
        timed(compiled, clock=clock, synchronize=synchronize)
    pairs = PairedLatencies()
    start = clock()
    while len(pairs.baseline_s) < sampling.max_pairs:
        sides = [(baseline, pairs.baseline_s), (compiled, pairs.compiled_s)]
        if len(pairs.baseline_s) % 2:
            sides.reverse()
        for call, seconds in sides:
            seconds.append(timed(call, clock=clock, synchronize=synchronize))
        check = judge_pairs(pairs, sampling=sampling, min_speedup=min_speedup)
        progress(len(pairs.baseline_s), check)
        outcomes = {check.outcome}
        if max_latency_s is not None:
            outcomes.add(judge_latencies(pairs.compiled_s, sampling=sampling, max_latency_s=max_latency_s).outcome)
        enough = len(pairs.baseline_s) >= sampling.min_pairs
        if enough and (Outcome.INCONCLUSIVE not in outcomes or clock() - start > sampling.budget_s):
            break
    return pairs


def measure_alone(
    compiled: Callable[[], object],
    *,
    sampling: Sampling,
    max_latency_s: float | None,
    synchronize: Callable[[], None],
    clock: Clock = time.perf_counter,
    progress: Callable[[int, Check], None] = lambda _calls, _check: None,
) -> PairedLatencies:
    """
    Time a pipeline that has no baseline beside it until its median latency is decided or the budget ends.

    Args:
        compiled: Draws one picture under the recipe.
        sampling: Error rate, smallest and largest number of calls, seconds.
        max_latency_s: The ceiling; None takes the smallest number of calls.
        synchronize: Waits for the device.
        clock: Seconds; monotonic.
        progress: Told after every call.
    """
    for _ in range(WARMUP_CALLS):
        timed(compiled, clock=clock, synchronize=synchronize)
    alone = PairedLatencies()
    start = clock()
    while len(alone.compiled_s) < sampling.max_pairs:
        alone.compiled_s.append(timed(compiled, clock=clock, synchronize=synchronize))
        check = judge_latencies(alone.compiled_s, sampling=sampling, max_latency_s=max_latency_s)
        progress(len(alone.compiled_s), check)
        enough = len(alone.compiled_s) >= sampling.min_pairs
        if enough and (check.outcome is not Outcome.INCONCLUSIVE or clock() - start > sampling.budget_s):
            break
    return alone


def judge_latencies(seconds: list[float], *, sampling: Sampling, max_latency_s: float | None) -> Check:
    """Whether the median latency keeps to `max_latency_s`, with an interval that holds at any stopping time."""
    unusable = [s for s in seconds if not (math.isfinite(s) and s > 0)]
    if unusable:
        return found("median latency", Outcome.NOT_COMPARABLE, f"a latency of {unusable[0]} s is no measurement")
    if not seconds:
        return found("median latency", Outcome.NOT_COMPARABLE, "no call was timed")
    median, interval = statistics.median(seconds), median_confidence_sequence(seconds, alpha=sampling.alpha)
    return interval_at_most("median latency", median, interval, max_latency_s, unit="s", note=f"{len(seconds)} calls")


def _tempered(
    outcome: Outcome, ratios: list[float], plain: Interval, sampling: Sampling, min_speedup: float
) -> Outcome:
    """What the clipped pairs decide is worth only as much as the plain pairs allow."""
    if plain.high < min_speedup:
        return Outcome.REGRESSION
    if outcome is Outcome.INCONCLUSIVE or (outcome is Outcome.PASS and plain.low >= min_speedup):
        return outcome
    # Pairs that all fall beyond the band have no spread left: a coin thrown this often shows one side as rarely.
    if len(ratios) < 1 - math.log2(sampling.alpha):
        return Outcome.INCONCLUSIVE
    # One interrupted call is forgiven; several are part of how the pipeline behaves, and count at full length.
    rest = sorted(ratios)[1:] if outcome is Outcome.PASS else sorted(ratios)[:-1]
    supports = (statistics.fmean(rest) >= math.log(min_speedup)) == (outcome is Outcome.PASS)
    return outcome if supports else Outcome.INCONCLUSIVE


def log_ratios(pairs: PairedLatencies) -> list[float]:
    """log(baseline / compiled) of each pair; above 0 the compiled one is faster."""
    return [math.log(a / b) for a, b in zip(pairs.baseline_s, pairs.compiled_s, strict=True)]


def judge_pairs(pairs: PairedLatencies, *, sampling: Sampling, min_speedup: float | None) -> Check:
    """
    Whether the mean speedup reaches `min_speedup`, with an interval that holds at any stopping time.

    The judged mean is of log-ratios that are clipped to a band around the threshold, so that one interrupted
    call cannot decide or block the verdict; calls that stall again and again can. What is shown is the median
    ratio and the interval of the plain ratios.
    """
    if len(pairs.baseline_s) < sampling.min_pairs:
        note = f"{len(pairs.baseline_s)} pairs, at least {sampling.min_pairs} needed"
        return found("speedup", Outcome.INCONCLUSIVE, note)
    unusable = [s for s in (*pairs.baseline_s, *pairs.compiled_s) if not (math.isfinite(s) and s > 0)]
    if unusable:
        return found("speedup", Outcome.NOT_COMPARABLE, f"a latency of {unusable[0]} s is no measurement")
    ratios = log_ratios(pairs)
    centre = math.log(min_speedup) if min_speedup is not None else statistics.median(ratios)
    clipped = [min(max(ratio, centre - sampling.clip), centre + sampling.clip) for ratio in ratios]
    judged = confidence_sequence(clipped, alpha=sampling.alpha).exponential()
    plain = confidence_sequence(ratios, alpha=sampling.alpha).exponential()
    shown = math.exp(statistics.median(ratios))
    check = interval_at_least("speedup", shown, judged, min_speedup, unit="x")
    if min_speedup is not None:
        check = dataclasses.replace(check, outcome=_tempered(check.outcome, ratios, plain, sampling, min_speedup))
    return dataclasses.replace(
        check,
        interval=plain,
        note=f"{len(ratios)} pairs; clipped to the floor ±{sampling.clip:.0%}: [{judged.low:.4g}, {judged.high:.4g}]",
    )
