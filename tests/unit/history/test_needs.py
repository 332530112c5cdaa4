"""Where evidence is missing most, as a history tells it."""

from datetime import UTC, datetime

import pytest
from tests.unit.history.conftest import Night

from nearlossless.history.needs import BUDGET_ENDED, Key, Known, Need, needs
from nearlossless.history.store import Entry
from nearlossless.record import Record
from nearlossless.verdicts import Outcome

STACK = {"torch": "2.13.0"}
HERE = {"NVIDIA H20"}


def entry(record: Record) -> Entry:
    """A record as the store loads it."""
    started = datetime.fromisoformat(record.started).astimezone(UTC)
    return Entry(name=record.started, started=started, record=record)


def key(gate: str) -> Key:
    """What is known of a gate of the one subject of a night."""
    return ("miniature", "inductor", "cpu", gate)


@pytest.mark.parametrize(
    ("gate", "known"),
    [
        ("speedup", Known.JUDGED),  # PASS
        ("memory", Known.JUDGED),  # REGRESSION
        ("quality", Known.INCONCLUSIVE),
        ("shapes", Known.JUDGED),  # NOT_COMPARABLE: measuring again would not change it
    ],
)
def test_verdicts_of_this_machine_are_known(night: Night, gate: str, known: Known) -> None:
    """A gate that was judged here is known, unless its evidence ran out."""
    assert needs([entry(night(0))], STACK, HERE)[key(gate)].known is known


@pytest.mark.parametrize(("stack", "hardware"), [({"torch": "2.14.0"}, HERE), (STACK, {"NVIDIA H100"})])
def test_other_stack_or_hardware_says_nothing(night: Night, stack: dict[str, str], hardware: set[str]) -> None:
    """A verdict under other versions or on another GPU leaves a gate never judged; when it was is told all the same."""
    assert needs([entry(night(0))], stack, hardware)[key("speedup")] == Need(
        Known.NEVER_JUDGED, "2026-01-01T03:00:00+00:00"
    )


def test_later_run_elsewhere_takes_nothing_away(night: Night) -> None:
    """What is known here stays known when another machine judges later."""
    entries = [entry(night(0)), entry(night(1, hardware="NVIDIA H100"))]
    assert needs(entries, STACK, HERE)[key("speedup")].known is Known.JUDGED


def test_last_verdict_counts(night: Night) -> None:
    """A gate that was inconclusive and then passed is known."""
    later = night(1)
    for verdict in later.subjects[0].verdicts:
        verdict.outcome = Outcome.PASS
    assert needs([entry(night(0)), entry(later)], STACK, HERE)[key("quality")].known is Known.JUDGED


def test_gate_that_a_budget_did_not_reach_was_not_judged(night: Night) -> None:
    """That verdict is about the budget, not about the gate."""
    record = night(0)
    for verdict in record.subjects[0].verdicts:
        verdict.outcome, verdict.reason = Outcome.INCONCLUSIVE, f"BudgetEnded: {BUDGET_ENDED}: tier 'pr'"
    assert needs([entry(record)], STACK, HERE) == {}


def test_least_known_sorts_first_then_oldest() -> None:
    """Never judged, inconclusive, judged; among equals the one that was judged longest ago."""
    ordered = [
        Need(),
        Need(Known.NEVER_JUDGED, "2026-01-09"),
        Need(Known.INCONCLUSIVE, "2026-01-01"),
        Need(Known.JUDGED, "2026-01-02"),
        Need(Known.JUDGED, "2026-01-03"),
    ]
    assert sorted([ordered[index] for index in (3, 0, 4, 2, 1)]) == ordered
