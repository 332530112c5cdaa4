"""Of step parity inside the quality gate."""

import math
from typing import Any

import pytest
from tests.unit.gates.records import ALIKE, QUALITY, SOUND, picture_record, step_parity

from nearlossless.gates import PARITY, judge_quality
from nearlossless.record.quality import ParityRecord
from nearlossless.verdicts import Outcome


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"ratio": 3.0}, Outcome.PASS),
        ({"ratio": 3.001}, Outcome.REGRESSION),
        ({"ratio": None}, Outcome.NOT_COMPARABLE),
        ({"ratio": math.nan}, Outcome.NOT_COMPARABLE),
        ({"max_ratio": 9.0}, Outcome.PASS),
        ({"max_ratio": 9.01}, Outcome.REGRESSION),
        ({"max_ratio": None}, Outcome.NOT_COMPARABLE),
        ({"bias_share": 0.25}, Outcome.PASS),
        ({"bias_share": 0.251}, Outcome.REGRESSION),
        ({"bias_share": None}, Outcome.NOT_COMPARABLE),
        ({"problem": "NaN or Inf at other places"}, Outcome.REGRESSION),
    ],
)
def test_parity_turns_at_each_of_its_thresholds(changes: dict[str, Any], outcome: Outcome) -> None:
    """Each figure of one step among sound ones passes at its threshold, fails beyond it, and is never green missing."""
    parity = ParityRecord(steps=[step_parity(), step_parity(step=5, **changes), step_parity(step=9)])
    verdict = judge_quality([picture_record()], QUALITY, parity, ALIKE)
    assert verdict.outcome is outcome
    assert verdict.is_pass or "step 6" in verdict.reason


@pytest.mark.parametrize(("ratio", "outcome"), [(1.5, Outcome.PASS), (1.501, Outcome.REGRESSION)])
def test_median_step_is_held_to_the_ceiling(ratio: float, outcome: Outcome) -> None:
    """One step may be off by chance; half of them may not."""
    parity = ParityRecord(steps=[step_parity(ratio=each, step=number) for number, each in enumerate((1.0, ratio, 2.9))])
    verdict = judge_quality([picture_record()], QUALITY, parity, ALIKE)
    assert verdict.outcome is outcome
    assert verdict.is_pass or "step parity of step 2" in verdict.reason


def test_parity_tells_where_it_diverges_once() -> None:
    """The first check that fails names the block, and the others do not repeat it."""
    parity = ParityRecord(
        steps=[step_parity(ratio=1.0, max_ratio=9.0, bias_share=0.5)], divergence="at step 1 first diverges in a.2"
    )
    verdict = judge_quality([picture_record()], QUALITY, parity, ALIKE)
    assert verdict.outcome is Outcome.REGRESSION
    assert verdict.reason.count("first diverges in a.2") == 1


@pytest.mark.parametrize("parity", [ParityRecord(), ParityRecord(problem="the compiled pipeline has no unet")])
def test_parity_that_was_not_measured_is_not_comparable(parity: ParityRecord) -> None:
    """Good pictures do not stand in for a parity that nobody measured."""
    verdict = judge_quality([picture_record()], QUALITY, parity, ALIKE)
    assert verdict.outcome is Outcome.NOT_COMPARABLE
    assert str(parity.problem or "no step was measured") in verdict.reason


def test_parity_without_ceiling_is_not_comparable() -> None:
    """A ceiling that nobody has measured leaves the gate NOT_COMPARABLE."""
    thresholds = QUALITY.model_copy(update={"max_parity_ratio": None})
    assert judge_quality([picture_record()], thresholds, SOUND, ALIKE).outcome is Outcome.NOT_COMPARABLE


def test_parity_can_be_declared_away() -> None:
    """Pictures alone judge a recipe that skips steps, and the verdict tells the reason."""
    parity = ParityRecord(not_applicable="reuses the features of former steps")
    verdict = judge_quality([picture_record()], QUALITY, parity, ALIKE)
    assert verdict.is_pass
    assert f"{PARITY}: not applicable, reuses the features of former steps" in verdict.reason
