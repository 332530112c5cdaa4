"""Latencies: two callables in turn (A B B A ...), or one alone, judged after every sample."""

import dataclasses
import math
import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

from nearlossless.cases import Sampling
from nearlossless.evidence import MeanJudge
from nearlossless.quiet import UNWATCHED, Watch
from nearlossless.sequential import Interval, confidence_sequence, median_confidence_sequence
from nearlossless.verdicts import Check, Outcome, found, interval_at_least, interval_at_most

Clock = Callable[[], float]
# Of the warm-up: it ends once neither of a side's last two calls was faster than all before by more than this share.
WARMUP_CALLS, LONGEST_WARMUP, STILL_FASTER = 3, 12, 0.01


@dataclasses.dataclass(slots=True)
class PairedLatencies:
    """
    Seconds of both callables, pair by pair, in the order taken.

    `set_aside` tells of each pair why it does not count, None where it does; empty where nobody watched.
    """

    baseline_s: list[float] = dataclasses.field(default_factory=list)
    compiled_s: list[float] = dataclasses.field(default_factory=list)
    set_aside: list[str | None] = dataclasses.field(default_factory=list)

    def judged(self) -> "PairedLatencies":
        """The pairs that count, or calls where there is no baseline."""
        if not any(self.set_aside):
            return PairedLatencies(self.baseline_s, self.compiled_s)

        def counted(seconds: list[float]) -> list[float]:
            return [s for s, reason in zip(seconds, self.set_aside, strict=False) if reason is None]

        return PairedLatencies(counted(self.baseline_s), counted(self.compiled_s))

    def told(self) -> str:
        """How many were set aside, and why; empty where none was."""
        reasons = Counter(reason for reason in self.set_aside if reason is not None)
        if not reasons:
            return ""
        kinds = ", ".join(f"{reason} ({count})" for reason, count in reasons.most_common())
        return f"{reasons.total()} of {len(self.set_aside)} set aside: {kinds}"

    def problem(self, name: str, sampling: Sampling) -> Check | None:
        """The check that stands for these samples where they cannot be judged; None where they can."""
        if self.baseline_s and len(self.baseline_s) != len(self.compiled_s):
            note = f"{len(self.baseline_s)} latencies of the baseline, {len(self.compiled_s)} of the compiled pipeline"
            return found(name, Outcome.NOT_COMPARABLE, note)
        if self.set_aside and len(self.set_aside) != len(self.compiled_s):
            return found(name, Outcome.NOT_COMPARABLE, "the list of what was set aside belongs to other samples")
        unusable = [s for s in (*self.baseline_s, *self.compiled_s) if not is_latency(s)]
        if unusable:
            return found(name, Outcome.NOT_COMPARABLE, f"a latency of {unusable[0]} s is no measurement")
        count, lost = len(self.judged().compiled_s), sum(reason is not None for reason in self.set_aside)
        if lost > count or (lost and count < sampling.min_pairs):
            return found(name, Outcome.INCONCLUSIVE, self.told())
        if count < sampling.min_pairs:
            note = f"{count} samples, at least {sampling.min_pairs} needed"
            return found(name, Outcome.NOT_COMPARABLE, note)
        return None


def is_latency(seconds: float) -> bool:
    """Whether a clock can have measured this: a clock that stands still or goes backwards gives something else."""
    return math.isfinite(seconds) and seconds > 0


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


def judge_latencies(latencies: PairedLatencies, *, sampling: Sampling, max_latency_s: float | None) -> Check:
    """Whether the compiled median keeps to `max_latency_s`, with an interval that holds at any stopping time."""
    name = "median latency"
    if not latencies.compiled_s:
        return found(name, Outcome.NOT_COMPARABLE, "no call was timed")
    if (problem := latencies.problem(name, sampling)) is not None:
        return problem
    seconds = latencies.judged().compiled_s
    median, interval = statistics.median(seconds), median_confidence_sequence(seconds, alpha=sampling.alpha)
    note = _joined(f"{len(seconds)} calls", latencies.told())
    return interval_at_most(name, median, interval, max_latency_s, unit="s", note=note)


def _joined(*notes: str) -> str:
    return "; ".join(note for note in notes if note)


def log_ratios(pairs: PairedLatencies) -> list[float]:
    """log(baseline / compiled) of each pair; above 0 the compiled one is faster."""
    return [math.log(a / b) for a, b in zip(pairs.baseline_s, pairs.compiled_s, strict=True)]


class SpeedupQuestion:
    """Whether the mean speedup reaches a floor; without one it is measured and not green."""

    def __init__(self, sampling: Sampling, min_speedup: float | None) -> None:
        self._sampling, self._min_speedup = sampling, min_speedup
        self._ratios: list[float] = []
        self._judge = MeanJudge(0.0 if min_speedup is None else math.log(min_speedup), sampling=sampling)

    def add(self, baseline_s: float, compiled_s: float) -> None:
        """Take one more pair; one that no clock can have measured is left out, and `PairedLatencies` tells it."""
        if is_latency(baseline_s) and is_latency(compiled_s):
            self._ratios.append(math.log(baseline_s / compiled_s))
            self._judge.add(self._ratios[-1])

    @property
    def outcome(self) -> Outcome:
        """As far as it is decided; NOT_COMPARABLE without a floor."""
        return self._judge.outcome if self._min_speedup is not None else Outcome.NOT_COMPARABLE

    def check(self, set_aside: str = "") -> Check:
        """The median ratio, the interval of the plain ratios, and in the note what was judged."""
        shown = math.exp(statistics.median(self._ratios))
        if self._min_speedup is None:
            plain = confidence_sequence(self._ratios, alpha=self._sampling.alpha).exponential()
            note = _joined(f"{len(self._ratios)} pairs", set_aside)
            return interval_at_least("speedup", shown, plain, None, unit="x", note=note)
        plain = self._judge.interval(clipped=False).exponential()
        note = _joined(judged_note(self._judge, "pairs"), set_aside)
        check = interval_at_least("speedup", shown, plain, self._min_speedup, unit="x", note=note)
        return dataclasses.replace(check, outcome=self.outcome)


def judged_note(judge: MeanJudge, samples: str) -> str:
    """How many samples were judged, in blocks or clipped to which band, and the interval that decided."""
    judged: Interval = judge.interval(clipped=True).exponential()
    size = judge.block_size
    blocks = "" if size == 1 else f"{samples} correlate, judged in blocks of {size}; "
    if size is None:
        blocks = f"{samples} correlate, too few blocks are independent; "
    interval = f"[{judged.low:.4g}, {judged.high:.4g}]"
    return f"{judge.count} {samples}; {blocks}clipped to the floor ±{100 * judge.band:.3g}%: {interval}"


def judge_pairs(pairs: PairedLatencies, *, sampling: Sampling, min_speedup: float | None) -> Check:
    """
    Whether the mean speedup reaches `min_speedup`, with an interval that holds at any stopping time.

    The judged mean is of log-ratios that are clipped to a band around the threshold, so that one interrupted
    call cannot decide or block the verdict; calls that stall again and again can. What is shown is the median
    ratio and the interval of the plain ratios. Pairs that were set aside are left out.
    """
    if not pairs.baseline_s:
        return found("speedup", Outcome.NOT_COMPARABLE, "no pair was timed")
    if (problem := pairs.problem("speedup", sampling)) is not None:
        return problem
    question, judged = SpeedupQuestion(sampling, min_speedup), pairs.judged()
    for baseline_s, compiled_s in zip(judged.baseline_s, judged.compiled_s, strict=True):
        question.add(baseline_s, compiled_s)
    return question.check(pairs.told())
