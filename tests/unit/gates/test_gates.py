"""The five gates: what was measured, held against thresholds."""

import math
from collections.abc import Callable
from typing import Any

import pytest
from tests.scores import scores

from nearlossless.cases.case import Sampling
from nearlossless.cases.thresholds import Band, PhaseBudgets, Thresholds
from nearlossless.gates import (
    GIB,
    PARITY,
    judge_memory,
    judge_quality,
    judge_shapes,
    judge_speedup,
    judge_startup,
)
from nearlossless.memory.driver import BeyondTorch
from nearlossless.processes.caches import CacheUse
from nearlossless.processes.worker import ProcessRun
from nearlossless.record.quality import InputError, ParityRecord, PictureRecord, ReplayRecord, StepParity
from nearlossless.record.shapes import SizeRecord, WarmupCounts, WarmupRecord
from nearlossless.speed.latencies import PairedLatencies
from nearlossless.verdicts import Outcome, Verdict

QUALITY = Thresholds(
    max_parity_ratio=1.5,
    live=Band(min_ssim=0.99),
    stored=Band(min_ssim=0.98),
    foreign=Band(min_ssim=0.9),
    max_clip_drop=0.5,
)
ABSENT = ParityRecord(not_applicable="the baseline does not fit this GPU")
SHAPES = Thresholds(live=Band(min_ssim=0.99))
MakeRun = Callable[..., ProcessRun]


def replay_record(**changes: object) -> ReplayRecord:
    """Twelve calls with the baseline's inputs and picture, with `changes` made to it."""
    inputs = {"latents": "hidden_states", "timestep": "timestep", "conditioning": "encoder_hidden_states"}
    sound: dict[str, object] = {
        "calls": 12,
        "baseline_calls": 12,
        "eps": 0.125,
        "errors": {kind: InputError(name=name, call=1, error=0.0) for kind, name in inputs.items()},
        "pictures": [scores(1.0)],
    }
    return ReplayRecord.model_validate(sound | changes)


ALIKE = replay_record()


def picture_record(**changes: object) -> PictureRecord:
    """A picture that is the same beside both anchors, with `changes` made to it."""
    sound: dict[str, object] = {
        "prompt": "blue ring",
        "seed": 20,
        "height": 128,
        "width": 128,
        "live": scores(1.0),
        "stored": scores(1.0),
        "baseline_clip": 25.0,
        "obtained_clip": 25.0,
        "stored_clip": 25.0,
    }
    return PictureRecord.model_validate(sound | changes)


def step_parity(**changes: object) -> StepParity:
    """A step at which the compiled denoiser is as exact as the baseline's, with `changes` made to it."""
    sound: dict[str, object] = {
        "step": 0,
        "reference_rms": 1.0,
        "baseline_rms": 1e-7,
        "compiled_rms": 1e-7,
        "baseline_max": 5e-7,
        "compiled_max": 5e-7,
        "baseline_bias": 0.0,
        "compiled_bias": 0.0,
        "ratio": 1.0,
        "max_ratio": 1.0,
        "bias_share": 0.0,
    }
    return StepParity.model_validate(sound | changes)


SOUND = ParityRecord(steps=[step_parity()], reference="float64")


def quality_of(thresholds: Thresholds = QUALITY, **changes: Any) -> Verdict:
    """The quality verdict on one picture with `changes`."""
    return judge_quality([picture_record(**changes)], thresholds, SOUND, ALIKE)


def size_record(*, compiles: int = 0, problems: tuple[str, ...] = ()) -> SizeRecord:
    """One size of the cycle."""
    return SizeRecord(
        height=64, width=128, compiles=compiles, latency_s=0.1, problems=list(problems), live_worst_tile_ssim=1.0
    )


@pytest.mark.parametrize(
    ("compiled_s", "outcome"), [(0.5, Outcome.PASS), (0.9, Outcome.REGRESSION)], ids=["fast", "slow"]
)
def test_speedup_is_held_against_its_floor(compiled_s: float, outcome: Outcome) -> None:
    """The speedup gate passes above the floor and fails below it."""
    pairs = PairedLatencies([1.0] * 6, [compiled_s] * 6)
    assert judge_speedup([pairs], Sampling(), Thresholds(min_speedup=1.5)).outcome is outcome


def test_speedup_without_floor_is_not_comparable() -> None:
    """A floor that nobody has measured leaves the gate NOT_COMPARABLE."""
    verdict = judge_speedup([PairedLatencies([1.0] * 6, [0.5] * 6)], Sampling(), Thresholds())
    assert verdict.outcome is Outcome.NOT_COMPARABLE


@pytest.mark.parametrize(("steady_bytes", "outcome"), [(1500, Outcome.PASS), (1501, Outcome.REGRESSION)])
def test_memory_ratio_turns_at_its_ceiling(process_run: MakeRun, steady_bytes: int, outcome: Outcome) -> None:
    """The steady peak may be as large as the ceiling says, and not a byte more."""
    verdict = judge_memory(
        process_run(steady_bytes=1000), process_run(steady_bytes=steady_bytes), Thresholds(max_memory_ratio=1.5)
    )
    assert verdict.outcome is outcome


@pytest.mark.parametrize(("extra", "outcome"), [(0, Outcome.PASS), (1, Outcome.REGRESSION)])
def test_absolute_memory_turns_at_its_ceiling(process_run: MakeRun, extra: int, outcome: Outcome) -> None:
    """The absolute budget counts in GiB of 1024 cubed bytes."""
    verdict = judge_memory(
        process_run(steady_bytes=2 * GIB),
        process_run(steady_bytes=2 * GIB + extra),
        Thresholds(max_memory_ratio=1.5, max_peak_gib=2.0),
    )
    assert verdict.outcome is outcome


@pytest.mark.parametrize(
    ("decoding", "outcome"),
    [(GIB, Outcome.PASS), (GIB + 1, Outcome.REGRESSION), (0, Outcome.NOT_COMPARABLE), (None, Outcome.NOT_COMPARABLE)],
)
def test_phase_budget_turns_at_its_ceiling(process_run: MakeRun, decoding: int | None, outcome: Outcome) -> None:
    """A phase with a budget may be as high as that, one that was not told is never green, and others are not judged."""
    run = process_run(steady_bytes=2 * GIB)
    found = {} if decoding is None else {"text encoding": 2 * GIB, "denoising": 2 * GIB, "decoding": decoding}
    compiled = run.model_copy(update={"peaks": run.peaks.model_copy(update={"steady_phase_bytes": found})})
    thresholds = Thresholds(max_memory_ratio=1.5, max_phase_peak_gib=PhaseBudgets(decoding=1.0))
    verdict = judge_memory(run, compiled, thresholds)
    assert verdict.outcome is outcome
    assert [check.name for check in verdict.checks][:2] == ["steady peak / baseline's", "peak, decoding"]


@pytest.mark.parametrize("phase", ["load", "first_call"])
@pytest.mark.parametrize(("extra", "outcome"), [(0, Outcome.PASS), (1, Outcome.REGRESSION)])
def test_budget_of_load_and_first_call_turns_at_its_ceiling(
    process_run: MakeRun, phase: str, extra: int, outcome: Outcome
) -> None:
    """Load and first call have budgets of their own, beside those of the phases of a steady call."""
    run = process_run(steady_bytes=1000)
    peaks = run.peaks.model_copy(update={f"{phase}_bytes": 2 * GIB + extra})
    thresholds = Thresholds(max_memory_ratio=1.5, max_phase_peak_gib=PhaseBudgets(**{phase: 2.0}))
    verdict = judge_memory(run, run.model_copy(update={"peaks": peaks}), thresholds)
    assert verdict.outcome is outcome
    assert f"peak, {phase.replace('_', ' ')}: obtained 2 GiB, required <= 2 GiB" in verdict.reason


def test_untold_driver_memory_is_said_and_changes_nothing(process_run: MakeRun) -> None:
    """Memory beyond torch's is no matter of the verdict, and that nobody could tell it stands in the reason."""
    told, untold = BeyondTorch(bytes=2**29), BeyondTorch(problem="NVML cannot be asked")
    for beyond, said in ((told, False), (untold, True), (None, False)):
        verdict = judge_memory(process_run(), process_run(beyond_torch=beyond), Thresholds(max_memory_ratio=1.5))
        assert verdict.is_pass
        assert ("cannot be told: NVML cannot be asked" in verdict.reason) is said


def test_absolute_budget_does_not_excuse_a_missing_ratio(process_run: MakeRun) -> None:
    """With only one of two thresholds measured, the gate is not green."""
    verdict = judge_memory(process_run(), process_run(), Thresholds(max_peak_gib=2.0))
    assert verdict.outcome is Outcome.NOT_COMPARABLE


@pytest.mark.parametrize(("baseline", "compiled"), [(0, 1000), (1000, 0), (0, 0)])
def test_memory_of_zero_bytes_is_no_measurement(process_run: MakeRun, baseline: int, compiled: int) -> None:
    """A peak of zero bytes was not measured, on either side, and is never green."""
    verdict = judge_memory(
        process_run(steady_bytes=baseline), process_run(steady_bytes=compiled), Thresholds(max_memory_ratio=1.5)
    )
    assert verdict.outcome is Outcome.NOT_COMPARABLE


@pytest.mark.parametrize(("first_call_s", "outcome"), [(9.0, Outcome.PASS), (9.001, Outcome.REGRESSION)])
def test_cold_start_counts_load_and_first_call(process_run: MakeRun, first_call_s: float, outcome: Outcome) -> None:
    """The cold start is load and first call together, and turns at its ceiling."""
    cold, warm = process_run(load_s=1.0, first_call_s=first_call_s), process_run(first_call_s=1.0)
    verdict = judge_startup(cold, warm, Thresholds(max_cold_start_s=10.0, max_warm_start_ratio=0.9))
    assert verdict.outcome is outcome


@pytest.mark.parametrize(("warm_s", "outcome"), [(5.0, Outcome.PASS), (5.001, Outcome.REGRESSION)])
def test_warm_start_turns_at_its_share(process_run: MakeRun, warm_s: float, outcome: Outcome) -> None:
    """A warm first call may take the given share of a cold one."""
    cold, warm = process_run(first_call_s=10.0), process_run(first_call_s=warm_s)
    verdict = judge_startup(cold, warm, Thresholds(max_cold_start_s=100.0, max_warm_start_ratio=0.5))
    assert verdict.outcome is outcome


@pytest.mark.parametrize("seconds", [0.0, math.nan, math.inf])
def test_impossible_cold_call_is_never_green(process_run: MakeRun, seconds: float) -> None:
    """A first call of no time, or of no finite time, leaves the start-up gate without a green verdict."""
    verdict = judge_startup(
        process_run(first_call_s=seconds),
        process_run(),
        Thresholds(max_cold_start_s=100.0, max_warm_start_ratio=0.9),
    )
    assert verdict.outcome is Outcome.NOT_COMPARABLE


START = Thresholds(max_cold_start_s=100.0, max_warm_start_ratio=2.0, max_artifact_start_ratio=0.8)
COLD = {"graphs": CacheUse(misses=3, hits=1, own_hits=1), "autograd": CacheUse(misses=4, stored=3)}
WARM = {"graphs": CacheUse(hits=4), "autograd": CacheUse(hits=3, misses=1, stored=0)}


def test_warm_start_that_compiles_nothing_passes(process_run: MakeRun) -> None:
    """A graph that a cold start stored and found again, and a lookup that Dynamo abandons, are in order."""
    assert judge_startup(process_run(caches=COLD), process_run(caches=WARM), START).is_pass


@pytest.mark.parametrize(
    "use",
    [
        {"graphs": CacheUse(hits=3, misses=1)},
        {"graphs": CacheUse(hits=3, bypasses=1)},
        {"graphs": CacheUse(hits=3), "autograd": CacheUse(hits=2, misses=2, stored=1)},
    ],
    ids=["miss", "bypass", "autograd"],
)
@pytest.mark.parametrize(("allowed", "outcome"), [(0, Outcome.REGRESSION), (1, Outcome.PASS)])
def test_warm_start_turns_at_its_misses(
    process_run: MakeRun, use: dict[str, CacheUse], allowed: int, outcome: Outcome
) -> None:
    """One graph that is compiled in a warm start is one too many unless the case allows one; the reason has all."""
    thresholds = START.model_copy(update={"max_warm_cache_misses": allowed})
    verdict = judge_startup(process_run(caches=COLD), process_run(caches=use), thresholds)
    assert verdict.outcome is outcome
    assert f"graphs: {use['graphs']}" in verdict.reason


def test_cold_start_that_finds_what_it_did_not_store_is_not_comparable(process_run: MakeRun) -> None:
    """A cold start with a hit of another process's entry was not cold."""
    cold = process_run(caches={"graphs": CacheUse(hits=2, misses=3, own_hits=1)})
    verdict = judge_startup(cold, process_run(caches=WARM), START)
    assert verdict.outcome is Outcome.NOT_COMPARABLE
    assert "graphs: 1 hits" in verdict.reason


def test_uncounted_caches_are_not_judged_and_told(process_run: MakeRun) -> None:
    """A backend that torch counts no lookup of passes by its seconds, and the reason says that no miss was judged."""
    verdict = judge_startup(process_run(), process_run(), START)
    assert verdict.is_pass
    assert "not applicable, torch counted no use of a graph cache" in verdict.reason


def test_warm_start_that_looks_nothing_up_is_not_comparable(process_run: MakeRun) -> None:
    """No lookup is no proof that nothing was compiled, where the cold start looked graphs up."""
    assert judge_startup(process_run(caches=COLD), process_run(), START).outcome is Outcome.NOT_COMPARABLE


@pytest.mark.parametrize(("first_call_s", "outcome"), [(1.6, Outcome.PASS), (1.601, Outcome.REGRESSION)])
def test_artifact_start_turns_at_its_share(process_run: MakeRun, first_call_s: float, outcome: Outcome) -> None:
    """A first call from artifacts may take its own share of a cold one."""
    artifact = process_run(first_call_s=first_call_s, caches=WARM)
    verdict = judge_startup(process_run(caches=COLD), process_run(caches=WARM), START, artifact=artifact)
    assert verdict.outcome is outcome


def test_artifact_start_that_compiles_is_a_regression(process_run: MakeRun) -> None:
    """Artifacts that miss a graph are no better than a warm cache that does."""
    artifact = process_run(first_call_s=1.0, caches={"graphs": CacheUse(hits=2, misses=1)})
    verdict = judge_startup(process_run(caches=COLD), process_run(caches=WARM), START, artifact=artifact)
    assert verdict.outcome is Outcome.REGRESSION
    assert "cache misses of artifact start" in verdict.reason


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


NO_BASELINE = "its peak exceeds this GPU's memory"


def outcomes_of(verdict: Verdict) -> dict[str, Outcome]:
    """The outcome of each kind of check."""
    return {check.name: check.outcome for check in verdict.checks}


@pytest.mark.parametrize(("ceiling_s", "outcome"), [(0.5, Outcome.PASS), (0.4999, Outcome.REGRESSION)])
@pytest.mark.parametrize("reason", [None, NO_BASELINE])
def test_latency_turns_at_its_ceiling(ceiling_s: float, outcome: Outcome, reason: str | None) -> None:
    """The median latency is held against its ceiling, with a baseline beside it or alone."""
    pairs = PairedLatencies([1.0] * 13 if reason is None else [], [0.5] * 13)
    thresholds = Thresholds(min_speedup=1.5, max_latency_s=ceiling_s)
    verdict = judge_speedup([pairs], Sampling(), thresholds, baseline_does_not_fit=reason)
    assert verdict.outcome is outcome
    assert outcomes_of(verdict)["speedup"] is (Outcome.PASS if reason is None else Outcome.NOT_APPLICABLE)


def test_speedup_without_baseline_needs_a_latency_ceiling() -> None:
    """Where the ratio does not apply and no ceiling was measured yet, the gate is not green."""
    verdict = judge_speedup(
        [PairedLatencies([], [0.5] * 13)], Sampling(), Thresholds(min_speedup=1.5), baseline_does_not_fit=NO_BASELINE
    )
    assert verdict.outcome is Outcome.NOT_COMPARABLE


def test_speedup_without_baseline_and_without_calls_is_not_green() -> None:
    """A gate that timed nothing does not pass because its ratio does not apply."""
    verdict = judge_speedup(
        [PairedLatencies()], Sampling(), Thresholds(max_latency_s=1.0), baseline_does_not_fit=NO_BASELINE
    )
    assert verdict.outcome is Outcome.NOT_COMPARABLE


@pytest.mark.parametrize(
    ("ceiling_gib", "outcome"), [(2.0, Outcome.PASS), (1.999, Outcome.REGRESSION), (None, Outcome.NOT_COMPARABLE)]
)
def test_memory_without_baseline_is_held_against_its_budget(
    process_run: MakeRun, ceiling_gib: float | None, outcome: Outcome
) -> None:
    """Without a baseline the absolute budget judges, and must be there; the ratio does not apply."""
    thresholds = Thresholds(max_memory_ratio=1.5, max_peak_gib=ceiling_gib)
    verdict = judge_memory(None, process_run(steady_bytes=2 * GIB), thresholds, baseline_does_not_fit=NO_BASELINE)
    assert verdict.outcome is outcome
    assert outcomes_of(verdict)["steady peak / baseline's"] is Outcome.NOT_APPLICABLE


def test_missing_baseline_needs_its_reason(process_run: MakeRun) -> None:
    """A baseline that was not run, and not declared away, leaves the memory gate without a green verdict."""
    verdict = judge_memory(None, process_run(), Thresholds(max_memory_ratio=1.5, max_peak_gib=2.0))
    assert verdict.outcome is Outcome.NOT_COMPARABLE


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


def replayed(thresholds: Thresholds = QUALITY, **changes: Any) -> Verdict:
    """The quality gate's answer to sound pictures and a replay with changes."""
    return judge_quality([picture_record()], thresholds, SOUND, replay_record(**changes))


@pytest.mark.parametrize(("kind", "allowed"), [("timestep", 0.125), ("latents", 0.125), ("conditioning", 2.0)])
def test_replay_turns_at_what_rounding_explains(kind: str, allowed: float) -> None:
    """A timestep may be off by one unit of rounding, latents by what twelve calls add up to, embeddings by sixteen."""
    errors = [InputError(name="x", call=3, error=allowed * factor) for factor in (1.0, 1.001)]
    green, red = (replayed(errors={kind: error}) for error in errors)
    assert (green.outcome, red.outcome) == (Outcome.PASS, Outcome.REGRESSION)
    assert "call 3" in red.reason


@pytest.mark.parametrize(("error", "outcome"), [(0.03, Outcome.PASS), (0.0301, Outcome.REGRESSION)])
def test_embeddings_of_quantized_encoders_have_a_ceiling_of_their_own(error: float, outcome: Outcome) -> None:
    """`max_embedding_error` takes the place of the encoders' rounding."""
    thresholds = QUALITY.model_copy(update={"max_embedding_error": 0.03})
    errors = {"conditioning": InputError(name="x", call=1, error=error)}
    assert replayed(thresholds, errors=errors).outcome is outcome


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"pictures": [scores(0.99)]}, Outcome.PASS),
        ({"pictures": [scores(0.9899)]}, Outcome.REGRESSION),
        ({"pictures": []}, Outcome.NOT_COMPARABLE),
        ({"calls": 11}, Outcome.REGRESSION),
        ({"calls": 13}, Outcome.REGRESSION),
        ({"unlike": "call 1: timestep: absent"}, Outcome.REGRESSION),
        ({"tripwires": ["black"]}, Outcome.REGRESSION),
        ({"problem": "nothing to stand in for"}, Outcome.NOT_COMPARABLE),
        ({"baseline_calls": 0}, Outcome.NOT_COMPARABLE),
        ({"not_applicable": "skips steps"}, Outcome.PASS),
    ],
)
def test_replay_is_judged_by_each_of_its_findings(changes: dict[str, Any], outcome: Outcome) -> None:
    """Other steps, inputs or pictures are regressions, and a replay that was not made is not green."""
    assert replayed(**changes).outcome is outcome


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
