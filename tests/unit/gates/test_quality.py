"""Of the quality gate: both anchors, every threshold, and what is missing."""

import math
from typing import Any

import pytest
from tests.scores import scores
from tests.unit.gates.records import (
    ABSENT,
    ALIKE,
    NO_BASELINE,
    QUALITY,
    SOUND,
    outcomes_of,
    picture_record,
    replayed,
    step_parity,
)

from nearlossless.cases.thresholds import Band, Thresholds
from nearlossless.gates import judge_quality
from nearlossless.record.quality import ParityRecord, ReplayRecord
from nearlossless.verdicts import Outcome, Verdict


def quality_of(thresholds: Thresholds = QUALITY, **changes: Any) -> Verdict:
    """The quality verdict on one picture with `changes`."""
    return judge_quality([picture_record(**changes)], thresholds, SOUND, ALIKE)


def test_quality_passes_when_both_anchors_agree() -> None:
    """A picture that is the same beside the live and the stored one is green."""
    assert quality_of().is_pass


def test_quality_without_pictures_is_not_comparable() -> None:
    """No picture was compared: not green."""
    assert judge_quality([], QUALITY, SOUND, ALIKE).outcome is Outcome.NOT_COMPARABLE


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"live": scores(0.99)}, Outcome.PASS),
        ({"live": scores(0.9899)}, Outcome.REGRESSION),
        ({"live": None}, Outcome.NOT_COMPARABLE),
        ({"live": scores(math.nan)}, Outcome.NOT_COMPARABLE),
        ({"stored": scores(0.98)}, Outcome.PASS),
        ({"stored": scores(0.9799)}, Outcome.REGRESSION),
        ({"stored": None}, Outcome.NOT_COMPARABLE),
        ({"obtained_clip": 24.5}, Outcome.PASS),
        ({"obtained_clip": 24.49}, Outcome.REGRESSION),
        ({"obtained_clip": None}, Outcome.NOT_COMPARABLE),
        ({"obtained_clip": math.nan}, Outcome.NOT_COMPARABLE),
        ({"baseline_clip": None}, Outcome.NOT_COMPARABLE),
        ({"stored_clip": 25.51}, Outcome.REGRESSION),
        ({"stored_clip": None}, Outcome.NOT_COMPARABLE),
        ({"tripwires": ["black"]}, Outcome.REGRESSION),
        ({"stored_problem": "sha256 differs"}, Outcome.NOT_COMPARABLE),
    ],
)
def test_quality_turns_at_each_of_its_thresholds(changes: dict[str, Any], outcome: Outcome) -> None:
    """Each figure of a picture passes at its threshold, fails just beyond it, and is never green when missing."""
    assert quality_of(**changes).outcome is outcome


@pytest.mark.parametrize(("similarity", "outcome"), [(0.9, Outcome.PASS), (0.8999, Outcome.REGRESSION)])
def test_foreign_picture_has_its_own_band(similarity: float, outcome: Outcome) -> None:
    """A stored picture of other hardware is held against the looser band."""
    verdict = quality_of(stored_foreign=["hardware: cpu-avx2 -> cpu-avx512"], stored=scores(similarity))
    assert verdict.outcome is outcome


def test_foreign_picture_without_band_is_not_comparable() -> None:
    """Without a band of its own a foreign picture proves nothing, however alike it is."""
    thresholds = QUALITY.model_copy(update={"foreign": Band()})
    verdict = quality_of(thresholds, stored_foreign=["dtype: float32 -> bfloat16"])
    assert verdict.outcome is Outcome.NOT_COMPARABLE


def test_one_bad_picture_among_good_ones_fails() -> None:
    """Judgement is by the worst picture, not by the mean."""
    pictures = [picture_record() for _ in range(9)] + [picture_record(live=scores(0.5), seed=99)]
    verdict = judge_quality(pictures, QUALITY, SOUND, ALIKE)
    assert verdict.outcome is Outcome.REGRESSION
    assert "seed 99" in verdict.reason


def test_quality_without_thresholds_is_not_comparable() -> None:
    """A case whose bands nobody has measured yet is not green."""
    assert quality_of(Thresholds()).outcome is Outcome.NOT_COMPARABLE


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({}, Outcome.PASS),
        ({"stored": scores(0.9799)}, Outcome.REGRESSION),
        ({"stored_clip": 25.51}, Outcome.REGRESSION),
        ({"stored_clip": None}, Outcome.NOT_COMPARABLE),
        ({"tripwires": ["black"]}, Outcome.REGRESSION),
        ({"stored_problem": "no expected picture is stored"}, Outcome.NOT_COMPARABLE),
    ],
)
def test_quality_without_baseline_is_held_against_the_stored(changes: dict[str, Any], outcome: Outcome) -> None:
    """Without a baseline the stored picture and its score judge; missing ones are not green."""
    alone = {"live": None, "baseline_clip": None}
    verdict = judge_quality(
        [picture_record(**alone | changes)], QUALITY, ABSENT, ReplayRecord(), baseline_does_not_fit=NO_BASELINE
    )
    assert verdict.outcome is outcome
    assert outcomes_of(verdict)["live worst-tile SSIM"] is Outcome.NOT_APPLICABLE


def test_quality_without_baseline_and_pictures_is_not_comparable() -> None:
    """No picture was compared: that live checks do not apply makes it no better."""
    assert (
        judge_quality([], QUALITY, ABSENT, ReplayRecord(), baseline_does_not_fit=NO_BASELINE).outcome
        is Outcome.NOT_COMPARABLE
    )


def test_pictures_can_be_declared_away() -> None:
    """Step parity judges synthetic weights alone, in both directions, and the verdict tells the reason."""
    broken = ParityRecord(steps=[step_parity(ratio=2.0)])
    green, red = (
        judge_quality([], QUALITY, parity, ALIKE, no_pictures="synthetic weights") for parity in (SOUND, broken)
    )
    assert (green.outcome, red.outcome) == (Outcome.PASS, Outcome.REGRESSION)
    assert "pictures: not applicable, synthetic weights" in green.reason


def test_nothing_applicable_is_not_green() -> None:
    """A case in which neither pictures nor parity nor a replay apply passes nothing."""
    reason = "reuses the features of former steps"
    parity, replay = ParityRecord(not_applicable=reason), ReplayRecord(not_applicable=reason)
    verdict = judge_quality([], QUALITY, parity, replay, no_pictures="synthetic weights")
    assert verdict.outcome is Outcome.NOT_APPLICABLE


COUNTED = {"min_ssim": 0.9, "pictures": 2}


@pytest.mark.parametrize("anchor", ["live", "stored"])
@pytest.mark.parametrize(("count", "outcome"), [(2, Outcome.PASS), (3, Outcome.NOT_COMPARABLE)])
def test_band_holds_for_as_many_pictures_as_it_was_set_for(anchor: str, count: int, outcome: Outcome) -> None:
    """The worst of more pictures is worse by chance: the band says so instead of judging them."""
    thresholds = QUALITY.model_copy(update={anchor: Band.model_validate(COUNTED)})
    verdict = judge_quality([picture_record()] * count, thresholds, SOUND, ALIKE)
    assert verdict.outcome is outcome
    assert verdict.is_pass or f"{anchor} band: set for 2 pictures, 3 were drawn" in verdict.reason


@pytest.mark.parametrize(("count", "outcome"), [(2, Outcome.PASS), (3, Outcome.NOT_COMPARABLE)])
def test_foreign_pictures_are_counted_for_their_own_band(count: int, outcome: Outcome) -> None:
    """Foreign pictures count for the foreign band and not for the stored one."""
    tight = Band(min_ssim=0.98, pictures=1)
    thresholds = QUALITY.model_copy(update={"foreign": Band.model_validate(COUNTED), "stored": tight})
    pictures = [picture_record(stored_foreign=["hardware: cpu-avx2 -> cpu-avx512"])] * count
    assert judge_quality(pictures, thresholds, SOUND, ALIKE).outcome is outcome


@pytest.mark.parametrize(("count", "outcome"), [(2, Outcome.PASS), (3, Outcome.NOT_COMPARABLE)])
def test_pictures_of_a_replay_are_counted(count: int, outcome: Outcome) -> None:
    """A replay draws one batch, whose pictures count for the replay's band."""
    thresholds = QUALITY.model_copy(update={"replay": Band.model_validate(COUNTED)})
    assert replayed(thresholds, pictures=[scores()] * count).outcome is outcome


def test_live_band_is_not_counted_without_a_baseline() -> None:
    """A band that judges nothing here makes nothing NOT_COMPARABLE."""
    thresholds = QUALITY.model_copy(update={"live": Band(min_ssim=0.9, pictures=1)})
    pictures = [picture_record(live=None)] * 2
    reason = "the baseline does not fit this GPU"
    assert judge_quality(pictures, thresholds, ABSENT, ALIKE, baseline_does_not_fit=reason).is_pass


def test_too_many_pictures_hide_no_regression() -> None:
    """A picture beyond its band is told although the band was set for fewer."""
    thresholds = QUALITY.model_copy(update={"live": Band(min_ssim=0.9, pictures=1)})
    pictures = [picture_record(), picture_record(live=scores(0.8))]
    assert judge_quality(pictures, thresholds, SOUND, ALIKE).outcome is Outcome.REGRESSION
