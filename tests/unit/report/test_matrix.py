"""Recipes of a case side by side, each change with its interval."""

import pytest
from tests.unit.conftest import phase_times

from nearlossless.cases.case import Sampling
from nearlossless.record import Record
from nearlossless.record.speed import Speeds
from nearlossless.report.html import render_html
from nearlossless.report.matrix import matrix


def test_recipes_of_a_case_stand_side_by_side(full_record: Record) -> None:
    """One table a case: one baseline column, and for each recipe its figure and change."""
    other = full_record.subjects[0].model_copy(deep=True)
    other.recipe, other.speeds.compiled_s = "other", [2.1, 2.1, 2.1]
    found = matrix([full_record.subjects[0], other])
    row = next(row for row in found.main if row.label == "End-to-end time")
    assert found.recipes == ["inductor", "other"]
    assert row.baseline == "1.050 s"
    assert [(cell.compiled, cell.change, cell.verdict) for cell in row.recipes] == [
        ("0.700 s", "-33.3%", "better"),
        ("2.100 s", "+100.0%", "worse"),
    ]
    assert {row.label for row in found.phases} >= {"Text encoding", "Denoising", "Decoding"}


@pytest.mark.parametrize(("pairs", "shown"), [(12, "[-50.0%, -50.0%]"), (1, ""), (0, "")])
def test_interval_is_of_the_time(full_record: Record, pairs: int, shown: str) -> None:
    """The end-to-end time's change has an interval where there are pairs for one; an unbounded one is not shown."""
    subject = full_record.subjects[0]
    subject.sampling, subject.speeds = Sampling(), Speeds(baseline_s=[1.0] * pairs, compiled_s=[0.5] * pairs)
    row = next(row for row in matrix([subject]).main if row.label == "End-to-end time")
    assert row.recipes[0].interval == shown
    assert ("In brackets: the interval" in render_html(full_record)) is bool(shown)


def test_phases_of_pairs_have_intervals_of_their_change(full_record: Record) -> None:
    """Decoding that takes half the time, pair by pair, has a change with an interval around it; a start has none."""
    subject = full_record.subjects[0]
    subject.sampling = Sampling(min_pairs=5)
    slow = [phase_times(decoding_s=0.2 + number / 1000) for number in range(12)]
    fast = [phase_times(decoding_s=0.1 + number / 2000) for number in range(12)]
    subject.speeds = Speeds(baseline_s=[1.0] * 12, compiled_s=[1.0] * 12, baseline_phases=slow, compiled_phases=fast)
    found = matrix([subject])
    cells = {row.label: row.recipes[0] for row in (*found.main, *found.phases)}
    assert (cells["Decoding"].change, cells["Decoding"].interval) == ("-50.0%", "[-50.0%, -50.0%]")
    assert cells["Iteration speed"].interval == "[+0.0%, +0.0%]"
    assert (cells["Cold start"].interval, cells["Peak memory"].interval) == ("", "")
    assert "[-50.0%, -50.0%]" in render_html(full_record)


@pytest.mark.parametrize(("compiled_s", "verdict"), [((0.5, 0.6), "better"), ((2.0, 2.1), "worse"), ((0.5, 1.9), "")])
def test_change_that_may_be_none_has_no_colour(
    full_record: Record, compiled_s: tuple[float, float], verdict: str
) -> None:
    """Green and red are for changes whose interval lies on one side of no change."""
    subject = full_record.subjects[0]
    subject.sampling, subject.speeds = Sampling(), Speeds(baseline_s=[1.0] * 12, compiled_s=[*compiled_s] * 6)
    row = next(row for row in matrix([subject]).main if row.label == "End-to-end time")
    assert (row.recipes[0].verdict, bool(row.recipes[0].interval)) == (verdict, True)
