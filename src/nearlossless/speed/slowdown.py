"""Is a pipeline no slower than the record last accepted on this machine?"""

import math
import statistics
from dataclasses import replace

from nearlossless.cases.case import Sampling
from nearlossless.cases.thresholds import Thresholds
from nearlossless.evidence import MeanJudge
from nearlossless.record.speed import AcceptedSpeeds
from nearlossless.sequential import Interval
from nearlossless.speed.clocks import clock_note
from nearlossless.speed.latencies import PairedLatencies, is_latency, log_ratios
from nearlossless.speed.replicas import across
from nearlossless.speed.speedup import judged_note
from nearlossless.speed.timing import Question
from nearlossless.verdicts import Check, Outcome, found, interval_at_least, interval_at_most

SPEEDUP, LATENCY = "speedup / accepted", "latency / accepted"
# Of the compiled latency, where a case limits the slowdown of the ratio alone. Nothing cancels the machine's own drift.
MAX_LATENCY_SLOWDOWN = 0.05


def max_latency_slowdown(thresholds: Thresholds) -> float | None:
    """The margin of the latency in force; None where no slowdown is limited."""
    if thresholds.max_latency_slowdown is None and thresholds.max_slowdown is not None:
        return MAX_LATENCY_SLOWDOWN
    return thresholds.max_latency_slowdown


class SlowdownQuestion:
    """
    Pairs against the pairs of the accepted record: the ratio, or the compiled latency alone.

    The record's samples are judged with their own scatter: few or noisy ones decide later, or not at all.

    Args:
        accepted: Pairs of the record that can be judged.
        margin: Share by which the ratio may fall or the latency grow.
        sampling: Error rate, smallest number of pairs, band.
        of_latency: Whether the latency is asked about, or the ratio.
    """

    def __init__(self, accepted: PairedLatencies, margin: float, *, sampling: Sampling, of_latency: bool) -> None:
        self.name = LATENCY if of_latency else SPEEDUP
        self._of_latency, self._margin = of_latency, margin
        self._accepted = [-math.log(s) for s in accepted.compiled_s] if of_latency else log_ratios(accepted)
        self._samples: list[float] = []
        floor = -math.log1p(margin) if of_latency else math.log1p(-margin)
        self._judge = MeanJudge(floor, sampling=sampling, reference=self._accepted)

    def add(self, baseline_s: float, compiled_s: float) -> None:
        """Take one more pair; one that no clock can have measured is left out, and `PairedLatencies` tells it."""
        if is_latency(baseline_s) and is_latency(compiled_s):
            self._samples.append(-math.log(compiled_s) if self._of_latency else math.log(baseline_s / compiled_s))
            self._judge.add(self._samples[-1])

    @property
    def outcome(self) -> Outcome:
        """As far as it is decided."""
        return self._judge.outcome

    def check(self, told: str = "") -> Check:
        """The ratio of medians and its interval, in units of what was accepted, and what else is to be told."""
        shown = statistics.median(self._samples) - statistics.median(self._accepted)
        plain = self._judge.interval(clipped=False)
        notes = [judged_note(self._judge, "pairs"), f"{len(self._accepted)} in the record", told]
        note = "; ".join(text for text in notes if text)
        if self._of_latency:
            turned = Interval(-plain.high, -plain.low).exponential()
            check = interval_at_most(LATENCY, math.exp(-shown), turned, 1 + self._margin, note=note)
        else:
            least = 1 - self._margin
            check = interval_at_least(SPEEDUP, math.exp(shown), plain.exponential(), least, note=note)
        return replace(check, outcome=self.outcome)


def slowdown_questions(
    accepted: AcceptedSpeeds | None, thresholds: Thresholds, sampling: Sampling, *, has_baseline: bool = True
) -> list[SlowdownQuestion]:
    """What can be asked, of each process in the accepted record; nothing where nothing usable is accepted."""
    if accepted is None or accepted_problem(accepted, sampling, has_baseline=has_baseline) is not None:
        return []
    shared = sampling.shared_by(len(accepted.runs))
    return [
        SlowdownQuestion(run.judged(), margin, sampling=shared, of_latency=name == LATENCY)
        for name, margin in _margins(thresholds, has_baseline=has_baseline).items()
        for run in accepted.runs
    ]


def _margins(thresholds: Thresholds, *, has_baseline: bool) -> dict[str, float]:
    """By the name of the check; empty where the case limits no slowdown."""
    asked = {SPEEDUP: thresholds.max_slowdown if has_baseline else None, LATENCY: max_latency_slowdown(thresholds)}
    return {name: margin for name, margin in asked.items() if margin is not None}


class Unanswerable:
    """Keeps sampling going: what is measured now is to be accepted, and later held against."""

    outcome = Outcome.INCONCLUSIVE

    def add(self, baseline_s: float, compiled_s: float) -> None:
        """No sample answers it."""


def open_questions(
    accepted: AcceptedSpeeds | None, thresholds: Thresholds, sampling: Sampling, *, has_baseline: bool
) -> list[Question]:
    """What has to be decided before sampling stops."""
    if max_latency_slowdown(thresholds) is None:
        return []
    return [*slowdown_questions(accepted, thresholds, sampling, has_baseline=has_baseline)] or [Unanswerable()]


def accepted_problem(accepted: AcceptedSpeeds, sampling: Sampling, *, has_baseline: bool) -> str | None:
    """Why a record is nothing to compare with; None where it is."""
    if accepted.problem is not None:
        return accepted.problem
    if has_baseline and not all(run.baseline_s for run in accepted.runs):
        return "the accepted record has no latencies of a baseline"
    problems = [run.problem("accepted", sampling) for run in accepted.runs]
    return next((f"the accepted record: {problem.note}" for problem in problems if problem is not None), None)


def judge_slowdown(
    pairs: PairedLatencies,
    accepted: AcceptedSpeeds | None,
    thresholds: Thresholds,
    sampling: Sampling,
    *,
    has_baseline: bool = True,
) -> list[Check]:
    """The checks against the accepted record; none where the case limits no slowdown."""
    names = list(_margins(thresholds, has_baseline=has_baseline))
    if not names:
        return []
    if accepted is None:
        accepted = AcceptedSpeeds(problem="no accepted record was looked for")
    missing = accepted_problem(accepted, sampling, has_baseline=has_baseline)
    if missing is not None:
        return [found(name, Outcome.NOT_COMPARABLE, missing) for name in names]
    problems = [pairs.problem(name, sampling) for name in names]
    if any(problems):
        return [problem for problem in problems if problem is not None]
    questions, judged = slowdown_questions(accepted, thresholds, sampling, has_baseline=has_baseline), pairs.judged()
    for baseline_s, compiled_s in zip(judged.baseline_s or judged.compiled_s, judged.compiled_s, strict=True):
        for question in questions:
            question.add(baseline_s, compiled_s)
    clocks = clock_note(judged.clock_mhz, accepted.pairs.judged().clock_mhz, _latency_ratio(judged, accepted))
    told = "; ".join(text for text in (clocks, pairs.told()) if text)
    return [
        across([question.check(told) for question in questions if question.name == name], "accepted processes")
        for name in names
    ]


def _latency_ratio(judged: PairedLatencies, accepted: AcceptedSpeeds) -> float:
    return statistics.median(judged.compiled_s) / statistics.median(accepted.pairs.judged().compiled_s)
