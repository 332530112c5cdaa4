"""Of the speedup gate: both sides of its thresholds."""

import pytest
from tests.unit.gates.records import NO_BASELINE, outcomes_of

from nearlossless.cases.case import Sampling
from nearlossless.cases.thresholds import Thresholds
from nearlossless.gates import judge_speedup
from nearlossless.speed.latencies import PairedLatencies
from nearlossless.verdicts import Outcome


@pytest.mark.parametrize(
    ("compiled_s", "outcome"), [(0.5, Outcome.PASS), (0.9, Outcome.REGRESSION)], ids=["fast", "slow"]
)
def test_speedup_is_held_against_its_floor(compiled_s: float, outcome: Outcome) -> None:
    """The speedup gate passes above the floor and fails below it."""
    pairs = PairedLatencies([1.0] * 6, [compiled_s] * 6)
    assert judge_speedup([pairs], Sampling(), Thresholds(min_speedup=1.5)).outcome is outcome


def test_speedup_without_floor_is_not_comparable() -> None:
    """A floor that nobody has measured leaves the gate NOT_COMPARABLE."""
    verdict = judge_speedup([PairedLatencies([1.0] * 6, [0.5] * 6)], Sampling(), Thresholds())
    assert verdict.outcome is Outcome.NOT_COMPARABLE


@pytest.mark.parametrize(("ceiling_s", "outcome"), [(0.5, Outcome.PASS), (0.4999, Outcome.REGRESSION)])
@pytest.mark.parametrize("reason", [None, NO_BASELINE])
def test_latency_turns_at_its_ceiling(ceiling_s: float, outcome: Outcome, reason: str | None) -> None:
    """The median latency is held against its ceiling, with a baseline beside it or alone."""
    pairs = PairedLatencies([1.0] * 13 if reason is None else [], [0.5] * 13)
    thresholds = Thresholds(min_speedup=1.5, max_latency_s=ceiling_s)
    verdict = judge_speedup([pairs], Sampling(), thresholds, baseline_does_not_fit=reason)
    assert verdict.outcome is outcome
    assert outcomes_of(verdict)["speedup"] is (Outcome.PASS if reason is None else Outcome.NOT_APPLICABLE)


def test_speedup_without_baseline_needs_a_latency_ceiling() -> None:
    """Where the ratio does not apply and no ceiling was measured yet, the gate is not green."""
    verdict = judge_speedup(
        [PairedLatencies([], [0.5] * 13)], Sampling(), Thresholds(min_speedup=1.5), baseline_does_not_fit=NO_BASELINE
    )
    assert verdict.outcome is Outcome.NOT_COMPARABLE


def test_speedup_without_baseline_and_without_calls_is_not_green() -> None:
    """A gate that timed nothing does not pass because its ratio does not apply."""
    verdict = judge_speedup(
        [PairedLatencies()], Sampling(), Thresholds(max_latency_s=1.0), baseline_does_not_fit=NO_BASELINE
    )
    assert verdict.outcome is Outcome.NOT_COMPARABLE
