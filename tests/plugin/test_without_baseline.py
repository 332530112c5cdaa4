"""A case whose baseline does not fit: absolute thresholds and stored pictures judge alone, and can turn red."""

import pytest
from tests.plugin.inner import IDENTITY, LOOSE, Approval, InnerRun, MakeWorkspace, Workspace, case_toml

from nearlossless.fields import GATES
from nearlossless.verdicts import EXIT_REGRESSION, Outcome

pytestmark = pytest.mark.slow

REASON = "declared too large for this machine"
RECIPES = {
    **IDENTITY,
    "hasty": 'backend = "planted_backends:identity"\nthresholds = { max_latency_s = 0.001 }',
    "one_tile_damaged": 'backend = "planted_backends:one_tile_damaged"',
    "static_shapes": 'backend = "planted_backends:static_shapes"',
}


@pytest.fixture(scope="module")
def workspace(approval: Approval, make_workspace: MakeWorkspace) -> Workspace:
    """One case with stored pictures, absolute thresholds, and no baseline on any CPU."""
    workspace = make_workspace("without-baseline")
    content = case_toml(RECIPES, thresholds={**LOOSE, "max_latency_s": 60.0, "max_peak_gib": 16.0})
    content += f'[overrides.cpu]\nbaseline_does_not_fit = "{REASON}"\n'
    workspace.add_case(content, expected=approval.expected)
    return workspace


@pytest.fixture(scope="module")
def green(workspace: Workspace) -> InnerRun:
    """All five gates on the identity backend."""
    return workspace.run("--recipe", "identity", report="green")


NOTHING_APPLIES = '''"""A gate of which nothing applies."""

import pytest

from nearlossless.verdicts import Outcome, found, verdict


@pytest.mark.gate("speedup")
def test_nothing_applies(subject, gate):
    """Every check needs the baseline."""
    judged = gate(verdict("speedup", [found("speedup", Outcome.NOT_APPLICABLE, subject.baseline_does_not_fit)]))
    assert judged.is_pass
'''


@pytest.fixture(scope="module")
def neutral(make_workspace: MakeWorkspace) -> InnerRun:
    """A user's own gate test that has nothing but checks against the baseline."""
    workspace = make_workspace("neutral")
    workspace.add_case(case_toml() + f'[overrides.cpu]\nbaseline_does_not_fit = "{REASON}"\n')
    (workspace.folder / "gate" / "test_speedup.py").write_text(NOTHING_APPLIES, encoding="utf-8")
    return workspace.run("-k", "speedup")


def test_gate_of_which_nothing_applies_is_skipped_and_shown(neutral: InnerRun) -> None:
    """It is neither green nor red: skipped by pytest, NOT_APPLICABLE with its reason in the record."""
    assert (neutral.verdict("speedup").outcome, neutral.code) == (Outcome.NOT_APPLICABLE, 0), neutral.output
    assert "1 skipped" in neutral.output
    assert " passed" not in neutral.output
    assert REASON in neutral.output


@pytest.fixture(scope="module")
def red(workspace: Workspace) -> InnerRun:
    """Planted failures of latency, pictures and shapes."""
    options = [part for name in ("hasty", "one_tile_damaged", "static_shapes") for part in ("--recipe", name)]
    return workspace.run("-k", "speedup or quality or dynamic_shapes", *options, guarded=False, report="red")


def test_run_without_baseline_exits_with_zero(green: InnerRun) -> None:
    """With absolute thresholds and stored pictures a sound recipe is green without a baseline."""
    assert green.code == 0, green.output


@pytest.mark.parametrize("gate", GATES)
def test_every_gate_passes_by_a_figure(green: InnerRun, gate: str) -> None:
    """Each gate passes, and by at least one figure that was held against a threshold."""
    verdict = green.verdict(gate)
    assert verdict.outcome == Outcome.PASS, verdict.reason
    assert any(c.obtained is not None and c.threshold is not None for c in verdict.checks)


@pytest.mark.parametrize("gate", ["speedup", "memory", "quality", "shapes"])
def test_relative_checks_do_not_apply_and_say_why(green: InnerRun, gate: str) -> None:
    """What only a baseline could answer is NOT_APPLICABLE, with the case's reason in record and verdict."""
    verdict = green.verdict(gate)
    others = {"warm-up", "compiles after warm-up"}  # which need an accepted record, and a backend that compiles
    checks = [check for check in verdict.checks if check.name not in others]
    notes = {check.note for check in checks if check.outcome == Outcome.NOT_APPLICABLE}
    assert notes == {REASON}
    assert REASON in verdict.reason


def test_no_baseline_is_run(green: InnerRun) -> None:
    """Neither the baseline's process nor its session pipeline is run, and nothing of it is recorded."""
    subject = green.subject("identity")
    assert (subject.baseline_process, subject.speeds.baseline_s, subject.speeds.baseline_phases) == (None, [], [])
    assert "baseline process" not in green.output
    assert "baseline pipeline" not in green.output
    assert not list(green.report.rglob("*.baseline.png"))


def test_compiled_pipeline_is_measured_with_the_same_care(green: InnerRun) -> None:
    """As many calls are timed as the error rate needs, in a record with a fingerprint."""
    subject = green.subject("identity")
    assert len(subject.speeds.compiled_s) >= 13
    assert subject.fingerprint is not None


def test_table_says_that_the_baseline_does_not_fit(green: InnerRun) -> None:
    """The baseline's column of the printed table says why it is empty."""
    assert "does not fit" in green.output


# In the session and in the worker alike: recipes are built by another module's name for it.
FULL_GPU = """
import nearlossless.pipelines.compiling
import nearlossless.pipelines.loading
import torch


def fail(*arguments, **options):
    raise torch.cuda.OutOfMemoryError("CUDA out of memory, planted")


nearlossless.pipelines.loading.build_baseline = fail
"""


@pytest.fixture(scope="module")
def out_of_memory(make_workspace: MakeWorkspace) -> InnerRun:
    """A case that declares nothing, on a machine where every baseline runs out of memory."""
    workspace = make_workspace("out-of-memory")
    workspace.add_case(case_toml(RECIPES, thresholds={**LOOSE, "max_latency_s": 60.0, "max_peak_gib": 16.0}))
    (workspace.folder / "sitecustomize.py").write_text(FULL_GPU, encoding="utf-8")
    return workspace.run("-k", "memory or speedup", "--recipe", "identity", "--recipe", "hasty")


@pytest.mark.parametrize("gate", ["memory", "speedup"])
def test_measured_out_of_memory_leaves_absolute_figures(out_of_memory: InnerRun, gate: str) -> None:
    """The gate passes by an absolute figure, and says of the baseline's that it ran out of memory."""
    verdict = out_of_memory.verdict(gate)
    assert verdict.outcome == Outcome.PASS, out_of_memory.output
    (relative,) = [check for check in verdict.checks if check.outcome == Outcome.NOT_APPLICABLE]
    assert "ran out of memory (OOM)" in relative.note
    assert "CUDA out of memory, planted" in relative.note


def test_recipe_beside_a_baseline_out_of_memory_can_fail(out_of_memory: InnerRun) -> None:
    """A latency above its ceiling is still a regression, in a second recipe of the case too; the table has OOM."""
    assert out_of_memory.verdict("speedup", "hasty").outcome == Outcome.REGRESSION, out_of_memory.output
    assert out_of_memory.subject("hasty").baseline_out_of_memory is not None
    assert "OOM" in out_of_memory.output
    assert out_of_memory.output.count("baseline process: load") == 1


def test_latency_above_its_ceiling_is_a_regression(red: InnerRun) -> None:
    """A ceiling below what is possible loses the speedup gate with exit code 1, told with figures."""
    verdict = red.verdict("speedup", "hasty")
    assert (verdict.outcome, red.code) == (Outcome.REGRESSION, EXIT_REGRESSION), red.output
    assert "median latency: obtained" in verdict.reason
    assert "required <= 0.001 s" in verdict.reason


def test_picture_that_is_not_the_stored_one_is_a_regression(red: InnerRun) -> None:
    """Without a live baseline a damaged tile is found by the stored picture."""
    verdict = red.verdict("quality", "one_tile_damaged")
    assert verdict.outcome == Outcome.REGRESSION, red.output
    assert "stored worst-tile SSIM" in verdict.reason


def test_compiles_at_another_size_are_a_regression(red: InnerRun) -> None:
    """Without a baseline a compilation after warm-up is still counted."""
    verdict = red.verdict("shapes", "static_shapes")
    assert verdict.outcome == Outcome.REGRESSION, red.output
    assert "compiles after warm-up" in verdict.reason


@pytest.mark.parametrize(("gate", "recipe"), [("quality", "hasty"), ("speedup", "one_tile_damaged")])
def test_planted_failures_stay_in_their_gate(red: InnerRun, gate: str, recipe: str) -> None:
    """A slow recipe passes quality and a damaged one passes speedup in the same run."""
    assert red.verdict(gate, recipe).outcome == Outcome.PASS, red.output
