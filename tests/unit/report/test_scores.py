"""Scores of a picture beside their thresholds."""

import pytest
from tests.scores import scores

from nearlossless.cases.thresholds import Band, Thresholds
from nearlossless.record import Record
from nearlossless.record.quality import PictureRecord
from nearlossless.report.html import render_html
from nearlossless.report.scores import CHAOS, score_rows


@pytest.mark.parametrize(
    ("live", "foreign", "bad"),
    [(0.99, [], False), (0.9899, [], True), (float("nan"), [], True), (0.995, ["hardware: a -> b"], False)],
)
def test_scores_stand_beside_their_own_band(full_record: Record, live: float, foreign: list[str], bad: bool) -> None:
    """A figure at its threshold is good, below it or NaN it is marked; a foreign anchor is held to the foreign band."""
    subject = full_record.subjects[0]
    subject.thresholds = Thresholds(live=Band(min_ssim=0.99), stored=Band(min_ssim=0.98), foreign=Band(min_ssim=0.5))
    picture = PictureRecord(prompt="p", seed=1, height=64, width=64, live=scores(live), stored=scores(0.6))
    picture.stored_foreign = foreign
    row = next(row for row in score_rows(subject, picture) if row.name == "worst-tile SSIM")
    assert row.live_is_bad is bad
    assert row.stored_required == (">= 0.5" if foreign else ">= 0.98")
    assert row.stored_is_bad is not bool(foreign)


@pytest.mark.parametrize("outcome", ["PASS", "REGRESSION"])
def test_what_the_gate_let_pass_is_not_red(full_record: Record, outcome: str) -> None:
    """A picture beyond its band that the gate passed as chaos is marked as such; one that it did not pass is bad."""
    subject = full_record.subjects[0]
    subject.thresholds, subject.pictures = Thresholds(live=Band(min_ssim=0.9)), [subject.pictures[0]]
    check = subject.verdicts[2].checks[0]
    told = {"name": "live worst-tile SSIM", "of": "'blue ring' seed 20", "outcome": outcome}
    subject.verdicts[2].checks = [check.model_copy(update=told)]
    page = render_html(full_record)
    assert (CHAOS in page) is (outcome == "PASS")
    assert ('class="card bad' in page) is (outcome == "REGRESSION")
