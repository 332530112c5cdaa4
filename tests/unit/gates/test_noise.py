"""What the noise floor excuses, and what it never does."""

from typing import Any

import pytest
from tests.scores import scores
from tests.unit.gates.records import ABSENT, ALIKE, QUALITY, SOUND, picture_record, replay_record, step_parity

from nearlossless.cases.thresholds import Band, Thresholds
from nearlossless.gates import judge_quality
from nearlossless.record.quality import ParityRecord, ReplayRecord
from nearlossless.verdicts import Outcome, Verdict

# With its margin this floor allows a worst tile of 0.92, eight levels, and 31.5 dB.
NOISE = Band(min_ssim=0.96, max_difference=4, min_psnr_db=37.53)
CHAOTIC = scores(0.95)


def noisy(
    parity: ParityRecord = SOUND,
    replay: ReplayRecord = ALIKE,
    thresholds: Thresholds = QUALITY,
    noise: Band | None = NOISE,
    **changes: Any,
) -> Verdict:
    """The quality gate's answer to one picture with changes, where a noise floor is known."""
    return judge_quality([picture_record(**changes)], thresholds, parity, replay, noise=noise)


@pytest.mark.parametrize("anchor", ["live", "stored"])
@pytest.mark.parametrize(("similarity", "outcome"), [(0.92, Outcome.PASS), (0.9199, Outcome.REGRESSION)])
def test_chaos_is_excused_within_the_noise_floor(anchor: str, similarity: float, outcome: Outcome) -> None:
    """Beyond the band and within the floor's margin a picture passes, just beyond that it is a regression."""
    changes: dict[str, Any] = {anchor: scores(similarity)}
    assert noisy(**changes).outcome is outcome


def test_excuse_tells_band_and_floor() -> None:
    """What is excused stands in the reason with the figure, the band's threshold and what the floor allows."""
    verdict = noisy(live=CHAOTIC, stored=scores(0.96), stored_choice="best of 2 accepted")
    (live, stored) = [line for line in verdict.reason.splitlines() if "worst-tile SSIM of 'blue ring'" in line]
    assert "obtained 0.95, required >= 0.99" in live
    assert "steps and replay are exact, the noise floor allows 0.92" in live
    assert "best of 2 accepted; beyond the band" in stored


def test_picture_within_its_band_needs_no_excuse() -> None:
    """Nothing is said of noise where the band itself holds."""
    assert "noise" not in noisy().reason


@pytest.mark.parametrize(
    "unsound",
    [
        {"noise": None},
        {"parity": ParityRecord(steps=[step_parity(ratio=1.6)])},
        {"parity": ParityRecord()},
        {"parity": ParityRecord(not_applicable="skips steps by design")},
        {"replay": replay_record(calls=11)},
        {"replay": replay_record(problem="nothing to stand in for")},
        {"replay": replay_record(pictures=[scores(0.95)])},
        {"replay": replay_record(not_applicable="draws in other steps")},
        {"thresholds": QUALITY.model_copy(update={"max_parity_ratio": None})},
    ],
)
def test_noise_excuses_nothing_unless_parity_and_replay_hold(unsound: dict[str, Any]) -> None:
    """With either of them failed, missing or declared away a picture within the floor is the regression it looks."""
    assert noisy(live=CHAOTIC, **unsound).outcome is Outcome.REGRESSION


@pytest.mark.parametrize(("ratio", "outcome"), [(2.0, Outcome.PASS), (2.01, Outcome.REGRESSION)])
def test_noise_excuses_no_lossy_recipe(ratio: float, outcome: Outcome) -> None:
    """A recipe that may be far off at each step is held to its bands: its pictures move by more than chaos."""
    lossy = QUALITY.model_copy(update={"max_parity_ratio": 8.0})
    parity = ParityRecord(steps=[step_parity(ratio=ratio)])
    assert noisy(thresholds=lossy, parity=parity, live=CHAOTIC).outcome is outcome


def test_noise_excuses_nothing_without_a_baseline() -> None:
    """Where no baseline fits there is neither parity nor replay, and the stored picture's band stays as it is."""
    reason = "the baseline does not fit this GPU"
    picture = picture_record(live=None, stored=CHAOTIC)
    verdict = judge_quality([picture], QUALITY, ABSENT, ALIKE, noise=NOISE, baseline_does_not_fit=reason)
    assert verdict.outcome is Outcome.REGRESSION


@pytest.mark.parametrize("similarity", [0.9, 0.8999])
def test_noise_does_not_widen_a_foreign_band(similarity: float) -> None:
    """Noise of this hardware says nothing of another's pictures."""
    foreign: dict[str, Any] = {"stored_foreign": ["hardware: cpu-avx2 -> cpu-avx512"], "stored": scores(similarity)}
    low = Band(min_ssim=0.5)
    assert noisy(noise=low, **foreign).is_pass is (similarity >= 0.9)


@pytest.mark.parametrize("tripwire", ["black", "constant", "near-grey"])
def test_tripwires_are_never_excused(tripwire: str) -> None:
    """A black, constant or grey picture is a regression however far noise may move pictures."""
    assert noisy(noise=Band(min_ssim=0.01), tripwires=[tripwire]).outcome is Outcome.REGRESSION


def test_noise_excuses_no_lost_prompt() -> None:
    """CLIP drops are judged by their own ceiling."""
    assert noisy(live=CHAOTIC, obtained_clip=24.0).outcome is Outcome.REGRESSION


@pytest.mark.parametrize(
    ("band", "changes", "outcome"),
    [
        ({"max_difference": 2}, {"max_difference": 8}, Outcome.PASS),
        ({"max_difference": 2}, {"max_difference": 9}, Outcome.REGRESSION),
        ({"min_psnr_db": 50.0}, {"worst_tile_psnr_db": 31.6}, Outcome.PASS),
        ({"min_psnr_db": 50.0}, {"worst_tile_psnr_db": 31.4}, Outcome.REGRESSION),
        ({"max_colour_difference": 0.01}, {"worst_tile_colour_difference": 0.011}, Outcome.REGRESSION),
        ({"max_lpips": 0.1}, {"lpips": 0.11}, Outcome.REGRESSION),
        ({"max_flip": 0.1}, {"flip": None}, Outcome.NOT_COMPARABLE),
    ],
)
def test_noise_excuses_figure_by_figure(band: dict[str, Any], changes: dict[str, Any], outcome: Outcome) -> None:
    """Each figure has its own floor; one that nobody measured excuses nothing, and nothing that is missing."""
    thresholds = QUALITY.model_copy(update={"live": Band.model_validate({"min_ssim": 0.9, **band})})
    assert noisy(thresholds=thresholds, live=scores(**changes)).outcome is outcome
