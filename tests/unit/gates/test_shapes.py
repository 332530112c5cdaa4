"""Of the shapes gate: compilations, pictures and times of other requests."""

from typing import Any

import pytest
from tests.unit.gates.records import NO_BASELINE, outcomes_of

from nearlossless.cases.thresholds import Band, Thresholds
from nearlossless.gates import judge_shapes
from nearlossless.record.shapes import SizeRecord, SwapRecord, WarmupCounts, WarmupRecord
from nearlossless.verdicts import Outcome

SHAPES = Thresholds(live=Band(min_ssim=0.99))


def size_record(*, compiles: int = 0, problems: tuple[str, ...] = ()) -> SizeRecord:
    """One size of the cycle."""
    return SizeRecord(
        height=64, width=128, compiles=compiles, latency_s=0.1, problems=list(problems), live_worst_tile_ssim=1.0
    )


def test_shapes_pass_when_nothing_compiles() -> None:
    """Cycling sizes without a compilation is green under the default of zero."""
    assert judge_shapes([size_record(), size_record()], SHAPES).is_pass


def test_shapes_regress_at_one_compile() -> None:
    """One compilation after the warm-up is one too many, and the reason names the size."""
    verdict = judge_shapes([size_record(), size_record(compiles=1)], SHAPES)
    assert verdict.outcome is Outcome.REGRESSION
    assert "128x64: 1" in verdict.reason


def test_shapes_regress_on_a_problem() -> None:
    """A size whose picture is broken fails the gate although nothing compiled."""
    verdict = judge_shapes([size_record(problems=("drew a black picture",))], SHAPES)
    assert verdict.outcome is Outcome.REGRESSION
    assert "drew a black picture" in verdict.reason


def test_shapes_without_sizes_are_not_comparable() -> None:
    """A cycle over nothing proves nothing."""
    assert judge_shapes([], Thresholds()).outcome is Outcome.NOT_COMPARABLE


@pytest.mark.parametrize(
    ("compiles", "problems", "outcome"),
    [(0, (), Outcome.PASS), (1, (), Outcome.REGRESSION), (0, ("black",), Outcome.REGRESSION)],
)
def test_shapes_without_baseline_count_compiles(compiles: int, problems: tuple[str, ...], outcome: Outcome) -> None:
    """Without a baseline compiles and broken pictures are judged, and no picture is compared."""
    sizes = [size_record(compiles=compiles, problems=problems)]
    verdict = judge_shapes(sizes, Thresholds(live=Band(min_ssim=0.99)), not_compared=NO_BASELINE)
    assert verdict.outcome is outcome
    assert outcomes_of(verdict)["live worst-tile SSIM"] is Outcome.NOT_APPLICABLE


def test_sizes_that_nothing_is_required_of_are_not_comparable() -> None:
    """Without a band, pictures that compiled nothing are still not known to be the baseline's."""
    assert judge_shapes([size_record()], Thresholds()).outcome is Outcome.NOT_COMPARABLE


def test_sizes_of_synthetic_weights_are_judged_by_their_compiles() -> None:
    """Where pictures are not worth comparing, the verdict says so, and a compile is a regression all the same."""
    green = judge_shapes([size_record()], Thresholds(), not_compared="synthetic weights")
    red = judge_shapes([size_record(compiles=1)], Thresholds(), not_compared="synthetic weights")
    assert (green.outcome, red.outcome) == (Outcome.PASS, Outcome.REGRESSION)
    assert "not applicable, synthetic weights" in green.reason


def test_shapes_without_baseline_and_sizes_are_not_comparable() -> None:
    """A cycle over nothing proves nothing, with or without a baseline."""
    assert judge_shapes([], Thresholds(), not_compared=NO_BASELINE).outcome is Outcome.NOT_COMPARABLE


def counts(**changes: int) -> WarmupCounts:
    """Three graphs without a break."""
    return WarmupCounts(**{"graphs": 3, "graph_breaks": 0, "frames": 3, **changes})


@pytest.mark.parametrize(
    ("found", "outcome"),
    [
        ({}, Outcome.PASS),
        ({"graphs": 4}, Outcome.REGRESSION),
        ({"graph_breaks": 1}, Outcome.REGRESSION),
        ({"frames": 4}, Outcome.REGRESSION),
        ({"graphs": 2}, Outcome.NOT_COMPARABLE),
        ({"graphs": 2, "frames": 4}, Outcome.REGRESSION),
    ],
)
def test_warm_up_is_held_to_exact_counts(found: dict[str, int], outcome: Outcome) -> None:
    """More than accepted is a regression; fewer is no pass either, since what is accepted no longer describes it."""
    warmup = WarmupRecord(versions="torch 2.13.0", counts=counts(**found), accepted=counts())
    assert judge_shapes([size_record()], SHAPES, warmup=warmup).outcome is outcome


def test_warm_up_without_accepted_counts_is_told_not_judged() -> None:
    """Without counts for these versions the verdict tells them, and stays what it is."""
    warmup = WarmupRecord(versions="torch 2.13.0", counts=counts(graphs=9), problem="no record is accepted on cpu-x")
    verdict = judge_shapes([size_record()], SHAPES, warmup=warmup)
    assert verdict.is_pass
    assert "compiled 9 graphs, 0 graph breaks, 3 frames; no record is accepted on cpu-x" in verdict.reason


@pytest.mark.parametrize(
    ("compiled_s", "outcome"), [(0.5, Outcome.PASS), (1.0, Outcome.PASS), (1.1, Outcome.REGRESSION)]
)
def test_size_slower_than_eager_is_a_regression(compiled_s: float, outcome: Outcome) -> None:
    """Of a size timed in pairs only what is shown to be slower than the baseline is red; a draw is not."""
    noise = [1 + 0.002 * (number % 3 - 1) for number in range(12)]
    mirrored = [1 + 0.002 * ((number * 7 + 1) % 5 - 2) / 2 for number in range(12)]
    timed = {"baseline_s": noise, "compiled_s": [compiled_s * each for each in mirrored]}
    size = size_record().model_copy(update=timed)
    assert judge_shapes([size], SHAPES).outcome is outcome
    no_floor = SHAPES.overridden_by(Thresholds(min_size_speedup=None))
    assert judge_shapes([size], no_floor).outcome is Outcome.PASS


def test_single_latencies_of_a_size_are_not_judged() -> None:
    """One call of each, as a CPU takes, is recorded and decides nothing."""
    size = size_record().model_copy(update={"baseline_s": [1.0], "compiled_s": [9.0]})
    assert judge_shapes([size], SHAPES).is_pass


@pytest.mark.parametrize("what", [{"recordings": 1}, {"kernel_files": ["triton/k.cubin"]}])
def test_recordings_and_new_kernels_count_as_compiles(what: dict[str, Any]) -> None:
    """A CUDA graph recorded again, or a kernel that Dynamo does not see, is a compilation after warm-up."""
    verdict = judge_shapes([size_record().model_copy(update=what)], SHAPES)
    assert verdict.outcome is Outcome.REGRESSION
    assert "obtained 1, required <= 0" in verdict.reason


def stalled(latency_s: float, later_s: list[float], baseline_s: list[float] | None = None) -> SizeRecord:
    """A size whose first call took so long, beside later ones and the baseline's."""
    changes = {"latency_s": latency_s, "compiled_s": later_s, "baseline_s": baseline_s or []}
    return size_record().model_copy(update=changes)


@pytest.mark.parametrize(
    ("sizes", "outcome"),
    [
        ([stalled(90.0, [0.5]), stalled(90.0, [0.5])], Outcome.REGRESSION),
        ([stalled(90.0, [0.5]), stalled(0.5, [0.5])], Outcome.PASS),
        ([stalled(1.51, [0.5]), stalled(1.51, [0.5])], Outcome.REGRESSION),
        ([stalled(1.49, [0.5]), stalled(1.49, [0.5])], Outcome.PASS),
        ([stalled(0.9, [0.1]), stalled(0.9, [0.1])], Outcome.PASS),
        ([stalled(90.0, [90.0], [1.0]), stalled(90.0, [90.0], [1.0])], Outcome.REGRESSION),
        ([stalled(1.0, [1.0], [1.0]), stalled(1.0, [1.0], [1.0])], Outcome.PASS),
    ],
    ids=["two", "one", "just", "just not", "less than a second", "beside the baseline", "as the baseline"],
)
def test_backend_whose_compiling_nothing_counts_is_held_to_its_first_calls(
    sizes: list[SizeRecord], outcome: Outcome
) -> None:
    """An engine built anew for each size moves no counter of Dynamo's: two first calls that stall are a regression."""
    verdict = judge_shapes(sizes, SHAPES, counts_compiles=False)
    assert verdict.outcome is outcome
    assert outcomes_of(verdict)["compiles after warm-up"] is Outcome.NOT_APPLICABLE
    assert "stalls after warm-up" not in outcomes_of(judge_shapes(sizes, SHAPES))


def test_count_that_moved_is_judged_whatever_was_seen_before() -> None:
    """A backend that compiles for the first time after the warm-up is told by its count."""
    assert judge_shapes([size_record(compiles=1)], SHAPES, counts_compiles=False).outcome is Outcome.REGRESSION


@pytest.mark.parametrize(
    ("compiles", "counts_compiles", "outcome"),
    [(0, True, Outcome.PASS), (1, True, Outcome.REGRESSION), (0, False, Outcome.NOT_APPLICABLE)],
)
def test_swap_is_counted_where_compiling_is(compiles: int, counts_compiles: bool, outcome: Outcome) -> None:
    """A swap that compiles is seen by the count, which says nothing of a backend that never moved it."""
    swap = SwapRecord(lora="a", compiles=compiles, baseline_change_ssim=0.5, live_worst_tile_ssim=1.0)
    verdict = judge_shapes([size_record()], SHAPES, swaps=[swap], counts_compiles=counts_compiles)
    assert outcomes_of(verdict)["compiles after a swap"] is outcome
