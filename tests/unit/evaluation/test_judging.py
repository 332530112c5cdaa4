"""Results in, a verdict out: both sides of each band, early and at the end."""

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from tests.scores import scores
from tests.unit.evaluation.conftest import MakeResult

from nearlossless.cases.thresholds import Band, Thresholds
from nearlossless.evaluation.bands import SetBand
from nearlossless.evaluation.judging import CLIP, CLIP_DROP, MOST_NAMED, SHARE_OFF, Judge, leaves_band
from nearlossless.evaluation.results import Status
from nearlossless.evaluation.sampling import share_interval
from nearlossless.verdicts import Outcome

LIVE = Band(min_ssim=0.9)


def judge(total: int, **band: Any) -> Judge:
    """A judge of a list this long."""
    wanted = SetBand.model_validate({"max_clip_drop": 0.5, "max_share_off": 0.05, **band})
    return Judge(thresholds=Thresholds(live=LIVE, evaluation=wanted), alpha=0.01, total=total)


def test_same_pictures_pass(make_result: MakeResult) -> None:
    """Where nothing differs all is green."""
    judged = judge(50)
    for number in range(50):
        judged.add(make_result(number))
    assert judged.verdict({}).outcome is Outcome.PASS


@pytest.mark.parametrize(("drop", "outcome"), [(0.5, Outcome.PASS), (0.51, Outcome.REGRESSION)])
def test_mean_drop_of_the_whole_list_is_held_against_its_ceiling(
    make_result: MakeResult, drop: float, outcome: Outcome
) -> None:
    """Equal is enough, a hundredth of a point more is not."""
    judged = judge(10)
    for number in range(10):
        judged.add(make_result(number, compiled_clip=30 - drop))
    assert judged.verdict({}).outcome is outcome


@pytest.mark.parametrize(("off", "outcome"), [(1, Outcome.PASS), (2, Outcome.REGRESSION)])
def test_share_off_of_the_whole_list_is_held_against_its_ceiling(
    make_result: MakeResult, off: int, outcome: Outcome
) -> None:
    """One of twenty is 5 %, two are too many."""
    judged = judge(20)
    for number in range(20):
        judged.add(make_result(number, scores=scores(0.8 if number < off else 1.0)))
    assert judged.verdict({}).outcome is outcome


@pytest.mark.parametrize(
    ("clip", "outcome"), [(29.9, Outcome.REGRESSION), (30.0, Outcome.PASS), (30.3, Outcome.REGRESSION)]
)
def test_mean_score_must_lie_between_two_bounds(make_result: MakeResult, clip: float, outcome: Outcome) -> None:
    """MLPerf's manner: from a to b, and too high is no better than too low."""
    judged = judge(5, min_clip=30.0, max_clip=30.2)
    for number in range(5):
        judged.add(make_result(number, baseline_clip=clip, compiled_clip=clip))
    assert judged.verdict({}).outcome is outcome


@pytest.mark.parametrize(
    ("name", "value", "outcome"),
    [
        ("max_fid", 24.0, Outcome.PASS),
        ("max_fid", 24.1, Outcome.REGRESSION),
        ("min_reference_fid", 24.0, Outcome.PASS),
        ("min_reference_fid", 23.9, Outcome.REGRESSION),
        ("max_cmmd", None, Outcome.NOT_COMPARABLE),
    ],
)
def test_distances_are_held_against_their_bands(
    make_result: MakeResult, name: str, value: float | None, outcome: Outcome
) -> None:
    """Ceilings and floors at 24; one that was not computed is never green."""
    judged = judge(3, **{name: 24.0})
    for number in range(3):
        judged.add(make_result(number))
    assert judged.verdict({name.partition("_")[2]: value}).outcome is outcome


def test_bands_that_nobody_set_are_never_green(make_result: MakeResult) -> None:
    """Without a ceiling of drop and share nothing is judged."""
    judged = Judge(thresholds=Thresholds(live=LIVE), alpha=0.01, total=1)
    judged.add(make_result(0))
    assert judged.verdict({}).outcome is Outcome.NOT_COMPARABLE


def test_half_a_list_is_not_a_verdict(make_result: MakeResult) -> None:
    """A few good pictures of many leave open what the rest is."""
    judged = judge(1000)
    for number in range(5):
        judged.add(make_result(number))
    assert judged.certain is None
    assert judged.verdict({}).outcome is Outcome.INCONCLUSIVE


def early(results: list[Any], total: int, **band: Any) -> tuple[int, Outcome] | None:
    """After how many results a judge is certain, and of what."""
    judged = judge(total, **band)
    for result in results:
        judged.add(result)
        if judged.certain is not None:
            assert judged.verdict({}).outcome is judged.certain
            return judged.count, judged.certain
    return None


def test_good_and_bad_lists_are_told_early(make_result: MakeResult) -> None:
    """A perfect list passes before its end, one with every third picture off fails much earlier."""
    good = early([make_result(number) for number in range(1000)], 1000)
    bad = early([make_result(n, scores=scores(0.5 if n % 3 == 0 else 1.0)) for n in range(1000)], 1000)
    assert good is not None
    assert bad is not None
    assert (good[1], bad[1]) == (Outcome.PASS, Outcome.REGRESSION)
    assert bad[0] < 50 < good[0] < 500


def test_distances_need_the_whole_list(make_result: MakeResult) -> None:
    """A band of CMMD forbids an early PASS, not an early REGRESSION."""
    good = [make_result(number) for number in range(999)]
    assert early(good, 1000, max_cmmd=1.0) is None
    found = early([make_result(n, problem="black") for n in range(100)], 1000, max_cmmd=1.0)
    assert found is not None
    assert found[1] is Outcome.REGRESSION


def test_early_regressions_of_good_lists_are_rare(make_result: MakeResult) -> None:
    """Lists at their ceiling of 5 % off, looked at after each prompt, are called a regression at most alpha often."""
    chance, wrong, lists = np.random.default_rng(2), 0, 200
    for _ in range(lists):
        off = [True] * 5 + [False] * 95
        chance.shuffle(off)
        found = early([make_result(n, scores=scores(0.5 if bad else 1.0)) for n, bad in enumerate(off)], 100)
        wrong += found is not None and found[1] is Outcome.REGRESSION
    assert wrong / lists <= 0.01 + 0.02


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (Status.SET_ASIDE, Outcome.NOT_COMPARABLE),
        (Status.BASELINE_FAILED, Outcome.NOT_COMPARABLE),
        (Status.RECIPE_FAILED, Outcome.REGRESSION),
    ],
)
def test_one_prompt_without_pictures_is_named(make_result: MakeResult, status: Status, outcome: Outcome) -> None:
    """One of a thousand is never green, and the reason tells which and why."""
    judged = judge(1000)
    for number in range(1000):
        changes = {"scores": None, "baseline_clip": None, "compiled_clip": None} if number == 700 else {}
        failed = {"status": status, "problem": "planted"} if number == 700 else {}
        judged.add(make_result(number, **changes, **failed))
    verdict = judged.verdict({})
    assert verdict.outcome is outcome
    assert "700 (line 701, 'prompt 700'): " in verdict.reason
    assert "planted" in verdict.reason


FAILED: dict[str, Any] = {"problem": "planted", "scores": None, "baseline_clip": None, "compiled_clip": None}


@pytest.mark.parametrize(
    ("status", "certain"),
    [
        (Status.RECIPE_FAILED, Outcome.REGRESSION),
        (Status.BASELINE_FAILED, None),
        (Status.SET_ASIDE, None),
    ],
)
def test_prompt_that_only_the_recipe_fails_is_certain_at_once(
    make_result: MakeResult, status: Status, certain: Outcome | None
) -> None:
    """Whatever the other 4,999 are, the verdict is a regression; one without a baseline may still become one."""
    judged = judge(5000)
    judged.add(make_result(0, status=status, **FAILED))
    assert judged.certain is certain
    if certain is not None:
        assert judged.verdict({}).outcome is certain


def test_many_prompts_without_an_answer_are_counted(make_result: MakeResult) -> None:
    """Of thousands the first ten of each kind are kept and told, of the others how many there are."""
    judged = judge(3000)
    for number in range(3000):
        status = Status.SET_ASIDE if number < 2990 else Status.BASELINE_FAILED
        judged.add(make_result(number, status=status, **FAILED))
    assert len(judged.named) == 2 * MOST_NAMED
    told = [str(check) for check in judged.verdict({}).checks]
    assert len(told) < 30
    assert "prompt of 9 (line 10, 'prompt 9'): set aside: planted" in told
    assert [line for line in told if "more" in line] == ["prompts: and 2980 more: set aside"]
    assert "2980 more" in judged.verdict({}).reason


def test_one_prompt_counts_with_ten_points_at_most(make_result: MakeResult) -> None:
    """A single score that collapses moves the mean by what it may, and the reason says that it was cut."""
    judged = judge(100)
    for number in range(100):
        judged.add(make_result(number, baseline_clip=80.0, compiled_clip=80.0 if number else 20.0))
    assert judged.drop.mean == pytest.approx(0.1)
    assert "1 counted as 10" in judged.verdict({}).reason


def test_mean_drop_has_a_ceiling_that_a_set_can_exceed(make_result: MakeResult) -> None:
    """No mean exceeds the ten points of a prompt: a ceiling there is refused, one below it fails the worst set."""
    with pytest.raises(ValidationError, match="less than 10"):
        judge(10, max_clip_drop=10.0)
    judged = judge(10, max_clip_drop=9.99)
    for number in range(10):
        judged.add(make_result(number, baseline_clip=80.0, compiled_clip=0.0))
    assert judged.verdict({}).outcome is Outcome.REGRESSION


def test_score_that_is_not_there_is_not_judged(make_result: MakeResult) -> None:
    """One NaN among a hundred scores leaves no mean to be judged."""
    judged = judge(100)
    for number in range(100):
        judged.add(make_result(number, compiled_clip=30.0 if number else float("nan")))
    assert judged.verdict({}).outcome is Outcome.NOT_COMPARABLE


@pytest.mark.parametrize(
    ("changes", "is_off"),
    [
        ({}, False),
        ({"scores": scores(0.9, flip=0.1)}, False),
        ({"scores": scores(0.899, flip=0.1)}, True),
        ({"scores": scores(float("nan"))}, None),
        ({"scores": None}, None),
        ({"scores": scores(float("nan"), flip=0.2)}, True),
        ({"scores": scores(flip=None)}, None),
        ({"scores": scores(0.899, flip=None)}, True),
        ({"problem": "black"}, True),
        ({"compiled_clip": 29.0}, False),
        ({"compiled_clip": 28.9}, True),
        ({"compiled_clip": None}, None),
        ({"compiled_clip": float("nan")}, None),
        ({"status": Status.RECIPE_FAILED, "scores": None}, True),
        ({"status": Status.SET_ASIDE, "scores": None}, None),
    ],
)
def test_prompt_is_off_where_the_quality_gate_would_fail_it(
    make_result: MakeResult, changes: dict[str, Any], is_off: bool | None
) -> None:
    """The live band and the drop of single pictures, from both sides; what was not computed stays open."""
    thresholds = Thresholds(live=Band(min_ssim=0.9, max_flip=0.1), max_clip_drop=1.0)
    changes = {"scores": scores(flip=0.1), **changes}
    assert leaves_band(make_result(0, **changes), thresholds) is is_off


def judged_without_flip(make_result: MakeResult, *, off: int, of: int, total: int) -> Judge:
    """A judge whose band names FLIP, which nobody computed, after so many prompts, the first of them off."""
    judged = judge(total)
    judged.thresholds = judged.thresholds.model_copy(update={"live": Band(min_ssim=0.9, max_flip=0.1)})
    for number in range(of):
        judged.add(make_result(number, scores=scores(0.5 if number < off else 1.0)))
    return judged


def test_figure_that_is_not_computed_is_no_regression(make_result: MakeResult) -> None:
    """Without FLIP nobody can tell, in the middle and at the end, and no share with its interval is made up for it."""
    for total in (20, 40):
        judged = judged_without_flip(make_result, off=0, of=20, total=total)
        found = judged.verdict({})
        assert (judged.told, judged.certain) == (0, None)
        assert found.outcome is Outcome.NOT_COMPARABLE
        assert f"{SHARE_OFF}: obtained nothing, required <= 0.05 (0 of 0, 20 cannot be told)" in found.reason


@pytest.mark.parametrize(("off", "outcome"), [(1, Outcome.NOT_COMPARABLE), (2, Outcome.REGRESSION)])
def test_share_among_few_that_can_be_told_is_no_proof(make_result: MakeResult, off: int, outcome: Outcome) -> None:
    """Only bad pictures can be told where FLIP is missing: what fails is more than 5 % of all, whatever others are."""
    judged = judged_without_flip(make_result, off=off, of=20, total=20)
    assert judged.verdict({}).outcome is outcome


def test_missing_figure_leaves_many_bad_pictures_a_regression(make_result: MakeResult) -> None:
    """A list whose every prompt so far is off is certainly a regression, also where some figure is missing."""
    assert judged_without_flip(make_result, off=50, of=51, total=1000).certain is Outcome.REGRESSION
    assert judged_without_flip(make_result, off=2, of=51, total=1000).certain is None


def test_interval_of_the_share_is_that_of_the_prompts_told(make_result: MakeResult) -> None:
    """Two of two that can be told are all of them, and the interval beside them reaches as far."""
    interval = judged_without_flip(make_result, off=2, of=40, total=100).share_interval
    assert interval == share_interval(2, 2, None, alpha=0.01)
    assert interval.low < interval.high == 1


def test_mean_that_is_not_there_has_no_interval(make_result: MakeResult) -> None:
    """Of scores with a NaN among them neither a mean nor its interval is told."""
    judged = judge(100, min_clip=20.0)
    for number in range(100):
        judged.add(make_result(number, compiled_clip=30.0 - number % 3 if number else float("nan")))
    reason = judged.verdict({}).reason
    assert f"{CLIP_DROP}: obtained nothing, required" in reason
    assert f"{CLIP}: obtained nothing, required" in reason


def test_without_a_live_band_nothing_is_off_or_right(make_result: MakeResult) -> None:
    """No band, no answer."""
    assert leaves_band(make_result(0), Thresholds()) is None
