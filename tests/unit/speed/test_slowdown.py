"""Against the accepted record: both sides of each margin, what makes it not comparable, and how long is sampled."""

import math
from itertools import repeat
from typing import Any

import numpy as np
import pytest

from nearlossless.cases.case import Sampling
from nearlossless.cases.thresholds import Thresholds
from nearlossless.gates import judge_speedup
from nearlossless.record.speed import AcceptedSpeeds
from nearlossless.speed.latencies import PairedLatencies
from nearlossless.speed.slowdown import (
    LATENCY,
    MAX_LATENCY_SLOWDOWN,
    SPEEDUP,
    judge_slowdown,
    max_latency_slowdown,
    open_questions,
)
from nearlossless.speed.timing import measure_alone, measure_pairs
from nearlossless.verdicts import Check, Outcome

SAMPLING = Sampling()


def pairs(seed: int, *, count: int = 60, baseline: float = 1.0, slower: float = 0.0) -> PairedLatencies:
    """Pairs at a speedup of 1.5, each side scattering by 0.3 %; `slower` on the compiled one."""
    noise = np.exp(np.random.default_rng(seed).normal(0, 0.003, (2, count)))
    return PairedLatencies((baseline * noise[0]).tolist(), (baseline * noise[1] / 1.5 * (1 + slower)).tolist())


def record(**changes: Any) -> AcceptedSpeeds:
    """An accepted record of such pairs."""
    taken = pairs(1)
    return AcceptedSpeeds(**({"baseline_s": taken.baseline_s, "compiled_s": taken.compiled_s} | changes))


def checks(
    now: PairedLatencies, accepted: AcceptedSpeeds | None, limits: Thresholds, *, has_baseline: bool = True
) -> dict[str, Check]:
    """The checks of a slowdown, by name."""
    found = judge_slowdown(now, accepted, limits, SAMPLING, has_baseline=has_baseline)
    return {check.name: check for check in found}


@pytest.mark.parametrize(
    ("slower", "margin", "outcome"),
    [
        (0.01, 0.0, Outcome.REGRESSION),
        (0.01, 0.015, Outcome.PASS),
        (0.0, 0.005, Outcome.PASS),
        (0.0, 0.0, Outcome.INCONCLUSIVE),
        (-0.01, 0.0, Outcome.PASS),
    ],
)
def test_ratio_is_held_against_the_record(slower: float, margin: float, outcome: Outcome) -> None:
    """A percent slower fails without a margin and passes within one; the same speed on the threshold is undecided."""
    assert checks(pairs(2, slower=slower), record(), Thresholds(max_slowdown=margin))[SPEEDUP].outcome is outcome


@pytest.mark.parametrize(("slower", "outcome"), [(0.03, Outcome.PASS), (0.07, Outcome.REGRESSION)])
def test_latency_is_held_with_a_wider_margin(slower: float, outcome: Outcome) -> None:
    """Both pipelines slower alike leave the ratio; the compiled latency itself may grow by 5 % by default."""
    found = checks(pairs(2, baseline=1 + slower), record(), Thresholds(max_slowdown=0.01))
    assert (found[SPEEDUP].outcome, found[LATENCY].outcome) == (Outcome.PASS, outcome)
    assert found[LATENCY].obtained == pytest.approx(1 + slower, abs=0.003)


def test_checks_tell_units_of_what_was_accepted() -> None:
    """The ratio is told as a share of the accepted one, with an interval around it and the record's size."""
    check = checks(pairs(2, slower=0.01), record(), Thresholds(max_slowdown=0.005))[SPEEDUP]
    assert check.obtained == pytest.approx(1 / 1.01, abs=0.002)
    assert check.threshold == 0.995
    assert check.interval is not None
    assert check.interval.low < 1 / 1.01 < check.interval.high
    assert "60 in the record" in check.note


@pytest.mark.parametrize(
    ("limits", "margin"),
    [
        ({}, None),
        ({"max_slowdown": 0.0}, MAX_LATENCY_SLOWDOWN),
        ({"max_slowdown": 0.0, "max_latency_slowdown": 0.2}, 0.2),
        ({"max_latency_slowdown": 0.0}, 0.0),
    ],
)
def test_margin_of_the_latency_follows_the_ratios(limits: dict[str, float], margin: float | None) -> None:
    """Its default is in force where the ratio is limited; without any limit nothing is asked."""
    assert max_latency_slowdown(Thresholds(**limits)) == margin
    assert set(checks(pairs(2), record(), Thresholds(**limits))) == {
        *([SPEEDUP] if "max_slowdown" in limits else []),
        *([LATENCY] if margin is not None else []),
    }


def test_without_a_limit_no_record_is_needed() -> None:
    """A case that limits no slowdown passes by its floor alone, whatever is accepted."""
    assert judge_speedup([pairs(2)], SAMPLING, Thresholds(min_speedup=1.4)).outcome is Outcome.PASS


BAD_RECORDS: dict[str, tuple[AcceptedSpeeds | None, str]] = {
    "none": (None, "no accepted record"),
    "problem": (AcceptedSpeeds(problem="another GPU"), "another GPU"),
    "empty": (AcceptedSpeeds(), "no latencies of a baseline"),
    "few": (record(baseline_s=[1.0] * 4, compiled_s=[0.6] * 4), "4 samples"),
    "zero": (record(compiled_s=[0.0] * 60), "a latency of 0.0 s"),
    "negative": (record(compiled_s=[-1.0] * 60), "a latency of -1.0 s"),
    "nan": (record(baseline_s=[math.nan] * 60), "a latency of nan s"),
    "uneven": (record(baseline_s=[1.0] * 59), "59 latencies of the baseline, 60"),
    "aside": (record(set_aside=["thermal slowdown"] * 60), "60 of 60 set aside"),
}


@pytest.mark.parametrize("kind", BAD_RECORDS)
def test_record_that_says_nothing_is_not_comparable(kind: str) -> None:
    """What is wrong with the record is named by both checks, and the gate is not green."""
    accepted, problem = BAD_RECORDS[kind]
    limits = Thresholds(min_speedup=1.4, max_slowdown=0.5)
    verdict = judge_speedup([pairs(2)], SAMPLING, limits, accepted=accepted)
    assert verdict.outcome is Outcome.NOT_COMPARABLE
    assert [problem in check.note for check in verdict.checks if check.name in {SPEEDUP, LATENCY}] == [True, True]


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_latency_that_no_clock_measured_is_never_green(value: float) -> None:
    """One impossible latency of today makes both checks NOT_COMPARABLE."""
    now = pairs(2)
    now.compiled_s[3] = value
    found = checks(now, record(), Thresholds(max_slowdown=0.5))
    assert {check.outcome for check in found.values()} == {Outcome.NOT_COMPARABLE}


def test_without_baseline_the_latency_judges_alone() -> None:
    """Where no baseline fits there is no ratio; the latency is held against the record's."""
    accepted, now = record(baseline_s=[]), PairedLatencies([], pairs(2, slower=0.1).compiled_s)
    found = checks(now, accepted, Thresholds(max_slowdown=0.0), has_baseline=False)
    assert {name: check.outcome for name, check in found.items()} == {LATENCY: Outcome.REGRESSION}


def sampled(accepted: AcceptedSpeeds | None, *, slower: float = 0.0, **limits: float) -> int:
    """How many pairs are taken at these limits; the speedup itself is clear."""
    now, noise = 0.0, iter(np.random.default_rng(4).normal(0, 0.003, 1000))

    def taking(seconds: float) -> Any:
        def call() -> None:
            nonlocal now
            now += seconds * math.exp(next(noise))

        return call

    thresholds = Thresholds(min_speedup=1.2, **limits)
    found = measure_pairs(
        taking(1.0),
        taking((1 + slower) / 1.5),
        sampling=SAMPLING,
        min_speedup=1.2,
        questions=open_questions(accepted, thresholds, SAMPLING, has_baseline=True),
        synchronize=lambda: None,
        clock=lambda: now,
    )
    return len(found.baseline_s)


def test_sampling_goes_on_until_the_slowdown_is_decided() -> None:
    """Five pairs decide the floor; the record takes more, and a clear regression few again."""
    assert sampled(record()) == SAMPLING.min_pairs
    assert SAMPLING.min_pairs < sampled(record(), max_slowdown=0.005) < SAMPLING.max_pairs
    assert sampled(record(), slower=0.05, max_slowdown=0.005) == SAMPLING.min_pairs


@pytest.mark.parametrize("accepted", [None, AcceptedSpeeds(problem="another GPU")])
def test_run_without_a_record_is_worth_accepting(accepted: AcceptedSpeeds | None) -> None:
    """With a limit and nothing to hold against, all pairs are taken, so that the next run has a sound record."""
    assert sampled(accepted, max_slowdown=0.005) == SAMPLING.max_pairs


def test_calls_alone_are_taken_until_the_slowdown_is_decided() -> None:
    """Where no baseline fits, calls go on until the latency is decided against the record, too."""
    now, taken = 0.0, repeat(1.0)

    def call() -> None:
        nonlocal now
        now += next(taken)

    questions = open_questions(None, Thresholds(max_slowdown=0.0), SAMPLING, has_baseline=False)
    alone = measure_alone(
        call,
        sampling=SAMPLING,
        max_latency_s=2.0,
        questions=questions,
        synchronize=lambda: None,
        clock=lambda: now,
    )
    assert len(alone.compiled_s) == SAMPLING.max_pairs
