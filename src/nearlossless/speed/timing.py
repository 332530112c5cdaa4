"""Times two callables in turn (A B B A ...), or one alone, judged after every sample."""

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from nearlossless.cases.case import Sampling
from nearlossless.speed.latencies import PairedLatencies
from nearlossless.speed.quiet import UNWATCHED, Watch
from nearlossless.speed.speedup import SpeedupQuestion, judge_latencies
from nearlossless.verdicts import Check, Outcome

Clock = Callable[[], float]
# Of the warm-up: it ends once neither of a side's last two calls was faster than all before by more than this share.
WARMUP_CALLS, LONGEST_WARMUP, STILL_FASTER = 3, 12, 0.01


class Question(Protocol):
    """Something that pairs decide, asked beside the speedup."""

    def add(self, baseline_s: float, compiled_s: float) -> None:
        """Take one more pair."""

    @property
    def outcome(self) -> Outcome:
        """As far as it is decided."""


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


def warm_up(
    calls: Sequence[Callable[[], object]], *, clock: Clock = time.perf_counter, synchronize: Callable[[], None]
) -> int:
    """
    Call each in turn until none becomes faster any more, `LONGEST_WARMUP` times at most; returns how often.

    Caches, autotuning and clocks settle during the first calls, each pipeline at a pace of its own.
    """
    seconds: list[list[float]] = [[] for _ in calls]
    for count in range(1, LONGEST_WARMUP + 1):
        for call, taken in zip(calls, seconds, strict=True):
            taken.append(timed(call, clock=clock, synchronize=synchronize))
        if count >= WARMUP_CALLS and not any(map(_is_getting_faster, seconds)):
            return count
    return LONGEST_WARMUP


def _is_getting_faster(seconds: list[float]) -> bool:
    return min(seconds[-2:]) < (1 - STILL_FASTER) * min(seconds[:-2])


def measure_pairs(
    baseline: Callable[[], object],
    compiled: Callable[[], object],
    *,
    sampling: Sampling,
    min_speedup: float | None,
    max_latency_s: float | None = None,
    questions: Sequence[Question] = (),
    watch: Watch = UNWATCHED,
    read_mhz: Callable[[], float | None] = lambda: None,
    synchronize: Callable[[], None],
    clock: Clock = time.perf_counter,
    progress: Callable[[int, Check], None] = lambda _pairs, _check: None,
) -> PairedLatencies:
    """
    Time both callables in turn until the speedup, and whatever else is asked, is decided or the budget ends.

    A pair that `watch` sets aside is kept and answers nothing; as many again as `max_pairs` may be.

    Args:
        baseline: Draws one picture as the case does.
        compiled: Draws the same picture under the recipe.
        sampling: Error rate, smallest and largest number of pairs, seconds.
        min_speedup: The floor; None takes the smallest number of pairs.
        max_latency_s: The ceiling of the compiled median; None asks nothing of it.
        questions: What else has to be decided before sampling stops.
        watch: Tells which pairs were disturbed.
        read_mhz: The device's clock, asked after every pair.
        synchronize: Waits for the device.
        clock: Seconds; monotonic.
        progress: Told after every pair.
    """
    warm_up([baseline, compiled], clock=clock, synchronize=synchronize)
    pairs, speedup, counted = PairedLatencies(), SpeedupQuestion(sampling, min_speedup), 0
    start = clock()
    while counted < sampling.max_pairs and len(pairs.baseline_s) < 2 * sampling.max_pairs:
        sides = [(baseline, pairs.baseline_s), (compiled, pairs.compiled_s)]
        if len(pairs.baseline_s) % 2:
            sides.reverse()
        watch.before()
        for call, seconds in sides:
            seconds.append(timed(call, clock=clock, synchronize=synchronize))
        pairs.clock_mhz.append(read_mhz())
        pairs.set_aside.append(watch.after())
        if pairs.set_aside[-1] is None:
            counted += 1
            for question in (speedup, *questions):
                question.add(pairs.baseline_s[-1], pairs.compiled_s[-1])
        check = pairs.problem("speedup", sampling) or speedup.check(pairs.told())
        progress(len(pairs.baseline_s), check)
        outcomes = {check.outcome, *(question.outcome for question in questions)}
        if max_latency_s is not None:
            outcomes.add(judge_latencies(pairs, sampling=sampling, max_latency_s=max_latency_s).outcome)
        if _is_over(outcomes, len(pairs.baseline_s), counted, sampling, clock() - start):
            break
    return pairs


def _is_over(outcomes: set[Outcome], taken: int, counted: int, sampling: Sampling, elapsed_s: float) -> bool:
    is_decided = Outcome.INCONCLUSIVE not in outcomes or Outcome.REGRESSION in outcomes  # one red answer is enough
    if counted >= sampling.min_pairs and is_decided:
        return True
    return taken >= sampling.min_pairs and elapsed_s > sampling.budget_s


def measure_alone(
    compiled: Callable[[], object],
    *,
    sampling: Sampling,
    max_latency_s: float | None,
    questions: Sequence[Question] = (),
    watch: Watch = UNWATCHED,
    read_mhz: Callable[[], float | None] = lambda: None,
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
        questions: What else has to be decided before sampling stops; they get the compiled latency for both.
        watch: Tells which calls were disturbed.
        read_mhz: The device's clock, asked after every call.
        synchronize: Waits for the device.
        clock: Seconds; monotonic.
        progress: Told after every call.
    """
    warm_up([compiled], clock=clock, synchronize=synchronize)
    alone, counted = PairedLatencies(), 0
    start = clock()
    while counted < sampling.max_pairs and len(alone.compiled_s) < 2 * sampling.max_pairs:
        watch.before()
        alone.compiled_s.append(timed(compiled, clock=clock, synchronize=synchronize))
        alone.clock_mhz.append(read_mhz())
        alone.set_aside.append(watch.after())
        if alone.set_aside[-1] is None:
            counted += 1
            for question in questions:
                question.add(alone.compiled_s[-1], alone.compiled_s[-1])
        check = judge_latencies(alone, sampling=sampling, max_latency_s=max_latency_s)
        progress(len(alone.compiled_s), check)
        outcomes = {check.outcome, *(question.outcome for question in questions)}
        if _is_over(outcomes, len(alone.compiled_s), counted, sampling, clock() - start):
            break
    return alone
