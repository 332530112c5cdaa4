"""Our own gate on traces: the questions of the library, asked pair by pair and stopped as `measure_pairs` stops."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tests.benchmarks.speed.traces import Traces

from nearlossless.cases.case import Sampling
from nearlossless.cases.thresholds import Thresholds
from nearlossless.record.speed import AcceptedSpeeds
from nearlossless.speed.slowdown import slowdown_questions
from nearlossless.speed.speedup import SpeedupQuestion
from nearlossless.speed.timing import Question
from nearlossless.verdicts import Outcome

SAMPLING = Sampling()


@dataclass(frozen=True, slots=True)
class Rates:
    """How many gates ended how, as shares, and after how many pairs (median and 99th percentile)."""

    passed: float
    alarmed: float
    undecided: float
    median_pairs: int
    most_pairs: int


def rates(ended: Sequence[tuple[Outcome, int]]) -> Rates:
    """Shares of the outcomes of gates, each with the pairs it took."""
    outcomes, pairs = [outcome for outcome, _ in ended], sorted(count for _, count in ended)
    return Rates(
        passed=outcomes.count(Outcome.PASS) / len(ended),
        alarmed=outcomes.count(Outcome.REGRESSION) / len(ended),
        undecided=outcomes.count(Outcome.INCONCLUSIVE) / len(ended),
        median_pairs=pairs[len(pairs) // 2],
        most_pairs=pairs[int(0.99 * len(pairs))],
    )


def against_record(record: Traces, run: Traces, thresholds: Thresholds) -> Rates:
    """Every gate with its accepted record."""
    ended = []
    for former, pairs in zip(_gates(record), _gates(run), strict=True):
        accepted = AcceptedSpeeds(
            baseline_s=[a for a, _, reason in former],
            compiled_s=[b for _, b, reason in former],
            set_aside=[reason for _, _, reason in former],
        )
        questions = slowdown_questions(accepted, thresholds, SAMPLING)
        ended.append(_asked(questions, pairs) if questions else (Outcome.NOT_COMPARABLE, 0))
    return rates(ended)


def against_floor(run: Traces, min_speedup: float) -> Rates:
    """Every gate with a floor of its speedup and no record."""
    return rates([_asked([SpeedupQuestion(SAMPLING, min_speedup)], pairs) for pairs in _gates(run)])


Pair = tuple[float, float, str | None]


def _gates(traces: Traces) -> Iterable[list[Pair]]:
    for baseline, compiled, throttled in zip(
        traces.baseline_s.tolist(), traces.compiled_s.tolist(), traces.is_throttled.tolist(), strict=True
    ):
        reasons = ["thermal slowdown" if slow else None for slow in throttled]
        yield list(zip(baseline, compiled, reasons, strict=True))


def _asked(questions: Sequence[Question], pairs: list[Pair]) -> tuple[Outcome, int]:
    counted, outcomes = 0, {Outcome.INCONCLUSIVE}
    for taken, (baseline_s, compiled_s, reason) in enumerate(pairs, 1):
        if reason is None:
            counted += 1
            for question in questions:
                question.add(baseline_s, compiled_s)
        if counted < SAMPLING.min_pairs or taken > 2 * counted:  # most were set aside
            continue
        outcomes = {question.outcome for question in questions}
        if Outcome.REGRESSION in outcomes:
            return Outcome.REGRESSION, taken
        if Outcome.INCONCLUSIVE not in outcomes:
            return Outcome.PASS, taken
    return Outcome.INCONCLUSIVE, len(pairs)
