"""Is a pipeline fast enough? Its speedup against a floor, its latency against a ceiling."""

import dataclasses
import math
import statistics

from nearlossless.cases.case import Sampling
from nearlossless.evidence import MeanJudge
from nearlossless.sequential import Interval, confidence_sequence, median_confidence_sequence
from nearlossless.speed.latencies import PairedLatencies, is_latency
from nearlossless.verdicts import Check, Outcome, found, interval_at_least, interval_at_most


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
