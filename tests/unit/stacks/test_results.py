"""Two stacks' figures held against thresholds: both sides of each, and what cannot be compared."""

from collections.abc import Callable

import pytest
from tests.scores import scores

from nearlossless.cases.case import Sampling
from nearlossless.cases.thresholds import Thresholds
from nearlossless.environment import Fingerprint, PictureIdentity, TimingIdentity
from nearlossless.gates import judge_stack_memory, judge_stack_pictures, judge_stack_speed
from nearlossless.memory.peaks import SINCE_START
from nearlossless.report.stacks import stack_lines, stack_rows
from nearlossless.stacks.results import StackComparison, StackPair, StackPicture, StackSide
from nearlossless.verdicts import Outcome

SAMPLING = Sampling(min_pairs=5)
THRESHOLDS = Thresholds.model_validate(
    {
        "max_stack_slowdown": 0.1,
        "max_stack_memory_ratio": 1.2,
        "stored": {"min_ssim": 0.9, "pictures": 2},
        "max_clip_drop": 0.5,
    }
)
MakeComparison = Callable[..., StackComparison]


def pairs(ratio: float, count: int = 20) -> list[StackPair]:
    """Pairs in which the stack here takes `ratio` times as long, with a little noise."""
    noise = [0.99, 1.01, 1.0, 1.02, 0.98]
    return [StackPair(there_s=[noise[i % 5]], here_s=[ratio * noise[(i + 2) % 5]]) for i in range(count)]


def picture(ssim: float = 0.95, *, here_clip: float = 30.0, **changes: object) -> StackPicture:
    """One picture whose CLIP score was 30 there."""
    fields = {"prompt": "blue ring", "seed": 20, "height": 64, "width": 64, "scores": scores(ssim), "there_clip": 30.0}
    return StackPicture.model_validate({**fields, "here_clip": here_clip, **changes})


@pytest.fixture
def make_comparison(identity: PictureIdentity) -> MakeComparison:
    """Makes comparisons; `here` changes the side here, and `timing` its timing identity."""

    def side(torch: str, peak_bytes: int, **timing: object) -> StackSide:
        fields = {"picture": identity, "device_uuid": None, "power_limit_w": None, "cpu": "a processor", "threads": 2}
        fingerprint = Fingerprint(
            timing=TimingIdentity.model_validate({**fields, **timing}), stack={"python": "3.11.7", "torch": torch}
        )
        return StackSide(
            fingerprint=fingerprint, load_s=1.0, first_call_s=2.0, peak_kind="resident", peak_bytes=peak_bytes
        )

    def make(*, here_bytes: int = 1000, timing: dict[str, object] | None = None, **fields: object) -> StackComparison:
        sides = {"there": side("2.4.0", 1000), "here": side("2.13.0", here_bytes, **(timing or {}))}
        return StackComparison.model_validate({**sides, "pairs": pairs(1.0), **fields})

    return make


@pytest.mark.parametrize(("ratio", "outcome"), [(1.02, Outcome.PASS), (1.25, Outcome.REGRESSION)])
def test_speed_on_both_sides(make_comparison: MakeComparison, ratio: float, outcome: Outcome) -> None:
    """A loss of 2 % passes an allowance of 10 %, and one of 20 % is a regression."""
    verdict = judge_stack_speed(make_comparison(pairs=pairs(ratio)), SAMPLING, THRESHOLDS)
    assert verdict.outcome is outcome, verdict.reason
    assert verdict.checks[0].obtained == pytest.approx(1 / ratio, rel=0.03)


def test_reason_names_the_versions(make_comparison: MakeComparison) -> None:
    """The verdict on speed names what changed between the stacks."""
    assert "torch: 2.4.0 -> 2.13.0" in judge_stack_speed(make_comparison(), SAMPLING, THRESHOLDS).reason


def test_calls_of_a_turn_are_one_sample(make_comparison: MakeComparison) -> None:
    """Where workers take turns, the calls of a turn count as one, and the verdict says that they took turns."""
    turns = [StackPair(there_s=[1.0] * 5, here_s=[1.0, 1.0, 1.0, 1.01, 9.0]) for _ in range(4)]
    verdict = judge_stack_speed(make_comparison(pairs=turns, takes_turns=True), SAMPLING, THRESHOLDS)
    assert verdict.outcome is not Outcome.PASS  # 20 calls, 4 samples, 5 are needed
    assert "they took turns, 5 calls each a turn" in verdict.reason
    assert turns[0].medians() == (1.0, 1.0)


def test_other_threads_are_not_comparable(make_comparison: MakeComparison) -> None:
    """Times of stacks that use different numbers of threads are not compared, and the message says what to set."""
    verdict = judge_stack_speed(make_comparison(timing={"threads": 4}), SAMPLING, THRESHOLDS)
    assert verdict.outcome is Outcome.NOT_COMPARABLE
    assert "threads: 2 there, 4 here" in verdict.reason
    assert "OMP_NUM_THREADS" in verdict.reason


def test_what_one_stack_cannot_read_is_no_difference(make_comparison: MakeComparison) -> None:
    """A GPU's UUID that only the newer stack can read does not keep the times from being compared."""
    verdict = judge_stack_speed(make_comparison(timing={"device_uuid": "GPU-1"}), SAMPLING, THRESHOLDS)
    assert verdict.is_pass, verdict.reason


@pytest.mark.parametrize("judge", [judge_stack_memory, lambda s, t: judge_stack_speed(s, SAMPLING, t)])
def test_threshold_not_measured_is_not_green(
    make_comparison: MakeComparison, judge: Callable[[StackComparison, Thresholds], object]
) -> None:
    """Without thresholds of its own a comparison is NOT_COMPARABLE."""
    verdict = judge(make_comparison(), Thresholds())
    assert str(verdict).startswith("NOT_COMPARABLE")


@pytest.mark.parametrize(("here", "outcome"), [(1200, Outcome.PASS), (1201, Outcome.REGRESSION)])
def test_memory_on_both_sides(make_comparison: MakeComparison, here: int, outcome: Outcome) -> None:
    """A peak at the allowed ratio passes, a byte more is a regression."""
    assert judge_stack_memory(make_comparison(here_bytes=here), THRESHOLDS).outcome is outcome


def test_peak_of_zero_is_no_measurement(make_comparison: MakeComparison) -> None:
    """A peak of zero bytes is NOT_COMPARABLE, not a saving."""
    assert judge_stack_memory(make_comparison(here_bytes=0), THRESHOLDS).outcome is Outcome.NOT_COMPARABLE


def test_peak_since_start_is_not_compared(make_comparison: MakeComparison) -> None:
    """A system that cannot reset a peak leaves the memory NOT_COMPARABLE."""
    comparison = make_comparison()
    comparison.there.peak_kind = SINCE_START
    assert judge_stack_memory(comparison, THRESHOLDS).outcome is Outcome.NOT_COMPARABLE


@pytest.mark.parametrize(
    ("changed", "outcome"),
    [
        (picture(0.9), Outcome.PASS),
        (picture(0.89), Outcome.REGRESSION),
        (picture(here_clip=29.5), Outcome.PASS),
        (picture(here_clip=29.4), Outcome.REGRESSION),
        (picture(tripwires=["black"]), Outcome.REGRESSION),
        (picture(scores=None), Outcome.NOT_COMPARABLE),
        (picture(there_clip=None), Outcome.NOT_COMPARABLE),
    ],
    ids=["in band", "out of band", "CLIP", "CLIP drop", "black", "other size", "no CLIP"],
)
def test_pictures_on_both_sides(make_comparison: MakeComparison, changed: StackPicture, outcome: Outcome) -> None:
    """One picture at the edge of the stored band passes, and one beyond it decides, whatever the other one is."""
    verdict = judge_stack_pictures(make_comparison(pictures=[picture(1.0), changed]), THRESHOLDS)
    assert verdict.outcome is outcome, verdict.reason


def test_more_pictures_than_the_band_was_set_for(make_comparison: MakeComparison) -> None:
    """The worst of more pictures than the band was set for is NOT_COMPARABLE."""
    verdict = judge_stack_pictures(make_comparison(pictures=[picture()] * 3), THRESHOLDS)
    assert verdict.outcome is Outcome.NOT_COMPARABLE
    assert "set for 2 pictures" in verdict.reason


def test_no_picture_is_not_green(make_comparison: MakeComparison) -> None:
    """A comparison without a single picture is NOT_COMPARABLE, and of synthetic weights NOT_APPLICABLE."""
    assert judge_stack_pictures(make_comparison(), THRESHOLDS).outcome is Outcome.NOT_COMPARABLE
    verdict = judge_stack_pictures(make_comparison(), THRESHOLDS, no_pictures="synthetic weights")
    assert verdict.outcome is Outcome.NOT_APPLICABLE


def test_other_picture_identity_is_not_comparable(make_comparison: MakeComparison, identity: PictureIdentity) -> None:
    """Pictures of stacks whose settings differ are not compared, and the setting is named."""
    timing: dict[str, object] = {"picture": identity.model_copy(update={"matmul_precision": "high"})}
    verdict = judge_stack_pictures(make_comparison(pictures=[picture()], timing=timing), THRESHOLDS)
    assert verdict.outcome is Outcome.NOT_COMPARABLE
    assert "matmul_precision: highest -> high" in verdict.reason


def test_table_has_a_column_for_each_stack(make_comparison: MakeComparison) -> None:
    """The table shows medians of both stacks and the change from there to here."""
    comparison = make_comparison(pairs=pairs(1.5), here_bytes=1000)
    rows = {row.label: row.cells()[1:] for row in stack_rows(comparison)}
    assert rows["End-to-end time"] == ("1.000 s", "1.500 s", "+50.0%")
    assert rows["First call"] == ("2.00 s", "2.00 s", "+0.0%")


def test_lines_tell_what_the_table_cannot(make_comparison: MakeComparison) -> None:
    """Below the table stand versions, how many pictures are the same to the bit, and whether workers took turns."""
    other = picture(scores=scores(0.95, max_difference=1))
    lines = stack_lines(make_comparison(pictures=[picture(), other, picture(scores=None)], takes_turns=True))
    assert lines[0] == "from there to here: torch: 2.4.0 -> 2.13.0"
    assert lines[1] == "1 of 3 pictures are the same to the bit"
    assert "took turns" in lines[2]


def test_changes_name_what_came_and_went(make_comparison: MakeComparison) -> None:
    """What only one stack has is told as well as what both have in different versions."""
    comparison = make_comparison()
    comparison.there.fingerprint.stack["triton"] = "3.0.0"
    comparison.here.fingerprint.stack["torchao"] = "0.18.0"
    assert comparison.changes == ["torch: 2.4.0 -> 2.13.0", "triton: 3.0.0 -> none", "torchao: none -> 0.18.0"]
