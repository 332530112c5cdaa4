"""Of the memory gate: both sides of its budgets."""

import pytest
from tests.unit.gates.records import NO_BASELINE, MakeRun, outcomes_of

from nearlossless.cases.thresholds import PhaseBudgets, Thresholds
from nearlossless.gates import GIB, judge_memory
from nearlossless.memory.driver import BeyondTorch
from nearlossless.verdicts import Outcome


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
