"""A change and what changed in the stack with it."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from tests.unit.history.conftest import Night

from nearlossless.history.figures import FIGURES
from nearlossless.history.findings import Finding, findings
from nearlossless.history.store import Entry
from nearlossless.history.tracks import Wanted, line_up

COUNT, AT = 40, 20
OLD, NEW = {"torch": "2.12.0"}, {"torch": "2.13.0"}


def look(night: Night, factors: "np.typing.NDArray[np.float64]", upgraded: int) -> list[Finding]:
    """Findings in the compiled latency of nights with an upgrade before one of them."""
    noise = np.exp(0.003 * np.random.default_rng(0).normal(size=len(factors)))
    start = datetime(2026, 1, 1, 3, tzinfo=UTC)
    entries = [
        Entry(
            name=f"{day}.json",
            started=start + timedelta(days=day),
            record=night(day, factor=float(factor), stack=OLD if day < upgraded else NEW),
        )
        for day, factor in enumerate(factors * noise)
    ]
    tracks, _ = line_up(entries, Wanted())
    (track,) = [track for track in tracks if track.holds_times]
    return findings(track, FIGURES["compiled-latency"])


def stepping() -> "np.typing.NDArray[np.float64]":
    """A step of 5 % in the middle."""
    return np.where(np.arange(COUNT) < AT, 1.0, 1.05)


def test_upgrade_of_the_same_night_is_named(night: Night) -> None:
    """A step that came with another version says so, with both dates and the size."""
    (finding,) = look(night, stepping(), upgraded=AT)
    told, cause = finding.lines()
    assert cause.strip() == "torch: 2.12.0 -> 2.13.0"
    assert "changes between 2026-01-20 03:00 and 2026-01-21 03:00: +5." in told


@pytest.mark.parametrize(("aside", "is_named"), [(-2, True), (2, True), (-3, False), (3, False)])
def test_upgrade_close_by_is_named_with_its_distance(night: Night, aside: int, is_named: bool) -> None:
    """A step may be misdated by two runs: an upgrade so far away is named as that, one further away is not."""
    (finding,) = look(night, stepping(), upgraded=AT + aside)
    assert [f"{abs(aside)} run(s) aside" in cause for cause in finding.causes] == ([True] if is_named else [])


def test_step_without_a_cause_says_so(night: Night) -> None:
    """Where the stack stayed as it was, that is said."""
    (finding,) = look(night, stepping(), upgraded=COUNT)
    assert "nothing that the records name" in finding.lines()[1]


def test_upgrade_during_a_drift_is_named(night: Night) -> None:
    """A drift tells both ends, and what changed between them."""
    factors = 1.003 ** np.clip(np.arange(COUNT) - 10.0, 0, 20)
    (finding,) = look(night, factors, upgraded=AT)
    assert finding.change.is_drift
    assert finding.causes == ["torch: 2.12.0 -> 2.13.0"]


def test_upgrade_alone_is_no_finding(night: Night) -> None:
    """Another version that changes no figure is not told."""
    assert look(night, np.ones(COUNT), upgraded=AT) == []


def test_indices_are_those_of_usable_runs(night: Night) -> None:
    """A run without a measurement before the step does not shift its date."""
    factors = stepping()
    factors[3] = 0.0
    (finding,) = look(night, factors, upgraded=AT)
    assert finding.after.started.day == AT + 1
