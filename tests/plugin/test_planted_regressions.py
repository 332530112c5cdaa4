"""One planted regression per gate must come out red, and its benign twin green."""

import pytest
from tests.plugin.inner import IDENTITY, LOOSE, Approval, InnerRun, MakeWorkspace, Workspace, case_toml

from nearlossless.verdicts import EXIT_REGRESSION, EXIT_UNDECIDED, Outcome

pytestmark = pytest.mark.slow


def planted(*names: str) -> dict[str, str]:
    """Recipes named after their backends."""
    return {name: f'backend = "planted_backends:{name}"' for name in names}


@pytest.fixture(scope="module")
def workspace(approval: Approval, make_workspace: MakeWorkspace) -> Workspace:
    """One case with stored pictures and all recipes of this file; one without stored pictures."""
    workspace = make_workspace("regressions")
    recipes = {
        **IDENTITY,
        **planted(
            "hog",
            "leaky",
            "keeps_outputs",
            "outlives",
            "one_tile_damaged",
            "black",
            "nan_weights",
            "attention_off",
            "static_shapes",
            "dynamic_shapes",
            "specialized_steps",
            "fails_at_one_size",
            "wrong_elsewhere",
        ),
        "hasty": 'backend = "planted_backends:identity"\nthresholds = { max_cold_start_s = 0.01 }',
    }
    thresholds = {**LOOSE, "min_speedup": 0.5, "max_memory_ratio": 1.5}
    workspace.add_case(case_toml(recipes, thresholds=thresholds), expected=approval.expected)
    workspace.add_case(case_toml(head="default = false"), name="bare")
    return workspace


@pytest.fixture(scope="module")
def slower(workspace: Workspace) -> InnerRun:
    """The speedup gate on a backend of the command line that computes each step many times over."""
    return workspace.run("-k", "speedup", "--backend", "planted_backends:slow", guarded=False, report="slower")


def test_slow_backend_is_a_regression(slower: InnerRun) -> None:
    """A backend that repeats its computation loses the speedup gate with exit code 1."""
    verdict = slower.verdict("speedup", "planted_backends.slow")
    assert (verdict.outcome, slower.code) == (Outcome.REGRESSION, EXIT_REGRESSION), slower.output


def test_slow_backend_is_told_with_figures(slower: InnerRun) -> None:
    """The speedup verdict names the speedup obtained, its interval and the floor."""
    verdict = slower.verdict("speedup", "planted_backends.slow")
    (check,) = verdict.checks
    assert check.obtained is not None
    assert check.obtained < 0.5
    assert f"obtained {check.obtained:.5g} x [" in verdict.reason
    assert "required >= 0.5 x" in verdict.reason


def test_regression_is_printed(slower: InnerRun) -> None:
    """The failure that pytest prints begins with the verdict and shows no traceback of the suite."""
    assert "\nREGRESSION speedup: speedup: obtained" in slower.output
    assert "Traceback" not in slower.output


@pytest.fixture(scope="module")
def hoarder(workspace: Workspace) -> InnerRun:
    """Memory and start-up of a backend that keeps half a GiB from its first call on."""
    return workspace.run("-k", "memory or startup", "--recipe", "hog", report="hoarder")


def test_hog_is_a_regression(hoarder: InnerRun) -> None:
    """A backend that keeps 512 MiB more than the baseline loses the memory gate with exit code 1."""
    assert (hoarder.verdict("memory", "hog").outcome, hoarder.code) == (Outcome.REGRESSION, EXIT_REGRESSION), (
        hoarder.output
    )


def test_hog_is_told_with_figures(hoarder: InnerRun) -> None:
    """The memory verdict names the ratio obtained and its ceiling."""
    verdict = hoarder.verdict("memory", "hog")
    (check,) = [check for check in verdict.checks if check.outcome != Outcome.PASS]
    assert f"obtained {check.obtained:.5g}, required <= 1.5" in verdict.reason


def test_hog_is_measured_by_its_size(hoarder: InnerRun) -> None:
    """The compiled pipeline's steady peak lies about 512 MiB above the baseline's."""
    subject = hoarder.subject("hog")
    assert subject.baseline_process is not None
    assert subject.cold_process is not None
    more = subject.cold_process.peaks.steady_bytes - subject.baseline_process.peaks.steady_bytes
    assert more == pytest.approx(512 * 1024**2, rel=0.15)


def test_hog_passes_startup(hoarder: InnerRun) -> None:
    """A memory regression does not colour the start-up verdict."""
    verdict = hoarder.verdict("startup", "hog")
    assert verdict.outcome == Outcome.PASS, verdict.reason


@pytest.fixture(scope="module")
def kept(workspace: Workspace) -> InnerRun:
    """Memory of three backends that keep something: 64 KiB a call, outputs of the transformer, the whole pipeline."""
    options = [part for name in KEPT for part in ("--recipe", name)]
    return workspace.run("-k", "memory", *options, report="kept")


KEPT = {
    "leaky": "host memory, leak a call: obtained 64",
    "keeps_outputs": "tensors, growth: obtained",
    "outlives": "residue: obtained",
}


@pytest.mark.parametrize("recipe", KEPT)
def test_what_is_kept_is_a_regression_and_named(kept: InnerRun, recipe: str) -> None:
    """Each loses the memory gate with exit code 1 by the one check that is about it; all others pass."""
    verdict = kept.verdict("memory", recipe)
    assert (verdict.outcome, kept.code) == (Outcome.REGRESSION, EXIT_REGRESSION), kept.output
    red = [check.name for check in verdict.checks if check.outcome != Outcome.PASS]
    assert red == [KEPT[recipe].partition(":")[0]]
    assert KEPT[recipe] in verdict.reason


@pytest.fixture(scope="module")
def late(workspace: Workspace) -> InnerRun:
    """Memory and start-up of the identity backend under a cold-start ceiling of 0.01 s."""
    return workspace.run("-k", "memory or startup", "--recipe", "hasty", report="late")


def test_late_cold_start_is_a_regression(late: InnerRun) -> None:
    """A cold start above its ceiling loses the start-up gate with exit code 1."""
    assert (late.verdict("startup", "hasty").outcome, late.code) == (Outcome.REGRESSION, EXIT_REGRESSION), late.output


def test_late_cold_start_is_told_with_figures(late: InnerRun) -> None:
    """The start-up verdict names the seconds obtained and their ceiling."""
    verdict = late.verdict("startup", "hasty")
    (check,) = [check for check in verdict.checks if check.outcome == Outcome.REGRESSION]
    assert f"cold start: obtained {check.obtained:.5g} s, required <= 0.01 s" in verdict.reason


def test_late_cold_start_passes_memory(late: InnerRun) -> None:
    """The identity backend, the hog's benign twin, stays within its memory budget."""
    verdict = late.verdict("memory", "hasty")
    assert verdict.outcome == Outcome.PASS, verdict.reason


@pytest.fixture(scope="module")
def damaged(workspace: Workspace) -> InnerRun:
    """The quality gate on three backends that damage pictures, one that damages steps and one that does nothing."""
    names = ("identity", "one_tile_damaged", "black", "nan_weights", "attention_off")
    options = [part for name in names for part in ("--recipe", name)]
    return workspace.run("-k", "quality", *options, guarded=False, report="damaged")


@pytest.mark.parametrize("recipe", ["one_tile_damaged", "black", "nan_weights"])
def test_damaged_picture_is_a_regression(damaged: InnerRun, recipe: str) -> None:
    """A damaged tile, a black picture and NaN weights each lose the quality gate with exit code 1."""
    assert (damaged.verdict("quality", recipe).outcome, damaged.code) == (Outcome.REGRESSION, EXIT_REGRESSION), (
        damaged.output
    )


def test_damaged_tile_is_told_with_figures(damaged: InnerRun) -> None:
    """The quality verdict on a damaged tile names the similarity obtained, its floor and the picture's file."""
    verdict = damaged.verdict("quality", "one_tile_damaged")
    (check,) = [check for check in verdict.checks if "live worst-tile" in check.name]
    assert f"obtained {check.obtained:.5g}, required >= 0.95 [{check.path}]" in verdict.reason


def test_damaged_tile_is_found_by_both_anchors(damaged: InnerRun) -> None:
    """One damaged tile of sixty-four fails against the live picture and against the stored one."""
    failed = [c.name for c in damaged.verdict("quality", "one_tile_damaged").checks if c.outcome == Outcome.REGRESSION]
    assert [any(anchor in name for name in failed) for anchor in ("live worst", "stored worst")] == [True, True]


def test_damaged_tile_is_located(damaged: InnerRun) -> None:
    """The record's worst tile overlaps the one that was painted over."""
    (picture,) = damaged.subject("one_tile_damaged").pictures
    assert picture.live is not None
    x, y, width, height = picture.live.worst_tile_xywh
    assert (x <= 16 < x + width, y <= 32 < y + height) == (True, True)


@pytest.mark.parametrize("recipe", ["black", "nan_weights"])
def test_black_picture_is_named(damaged: InnerRun, recipe: str) -> None:
    """The quality verdict says that the picture is black."""
    assert "black" in damaged.verdict("quality", recipe).reason


def test_damaged_step_is_a_regression_where_pictures_pass(damaged: InnerRun) -> None:
    """An attention that is 2 % off fails step parity alone, and the verdict names its block."""
    verdict = damaged.verdict("quality", "attention_off")
    assert verdict.outcome == Outcome.REGRESSION, verdict.reason
    assert {c.name.partition(",")[0] for c in verdict.checks if c.outcome != Outcome.PASS} == {"step parity"}
    assert "at step 1 first diverges in transformer_blocks.2" in verdict.reason


def test_broken_layer_is_named(damaged: InnerRun) -> None:
    """NaN weights of the last layer are told as NaN at other places, in that layer."""
    reason = damaged.verdict("quality", "nan_weights").reason
    assert "NaN or Inf at other places" in reason
    assert "first diverges in proj_out" in reason


def test_undamaged_picture_passes(damaged: InnerRun) -> None:
    """The identity backend passes in the same run, after and before damaged ones."""
    verdict = damaged.verdict("quality", "identity")
    assert verdict.outcome == Outcome.PASS, verdict.reason


@pytest.fixture(scope="module")
def resized(workspace: Workspace) -> InnerRun:
    """The shapes gate on backends that compile for each size, for all, for each number of steps, or fail."""
    names = ("static_shapes", "dynamic_shapes", "specialized_steps", "fails_at_one_size")
    options = [part for name in names for part in ("--recipe", name)]
    return workspace.run("-k", "shapes", *options, guarded=False, report="resized")


def test_static_shapes_are_a_regression(resized: InnerRun) -> None:
    """A backend that compiles again at a new size loses the shapes gate with exit code 1."""
    assert (resized.verdict("shapes", "static_shapes").outcome, resized.code) == (
        Outcome.REGRESSION,
        EXIT_REGRESSION,
    ), resized.output


def test_static_shapes_are_told_with_figures(resized: InnerRun) -> None:
    """The shapes verdict names the ceiling, the size that compiled, the frame and the guard."""
    reason = resized.verdict("shapes", "static_shapes").reason
    assert "required <= 0 (96x96: " in reason
    assert "by forward (" in reason
    assert "size mismatch" in reason


def test_number_of_steps_that_compiles_is_named(resized: InnerRun) -> None:
    """A backend that compiles for each number of steps loses, and the reason names trigger, frame and guard."""
    verdict = resized.verdict("shapes", "specialized_steps")
    assert verdict.outcome == Outcome.REGRESSION, resized.output
    assert "obtained 1, required <= 0 (64x64, 3 steps: 1 by planted_step (" in verdict.reason
    assert "steps" in verdict.reason.partition("planted_step")[2]


def test_failure_at_one_size_leaves_the_rest_measured(resized: InnerRun) -> None:
    """One size that fails is the only one that is red, with its reason; all other calls were measured."""
    verdict = resized.verdict("shapes", "fails_at_one_size")
    red = [check for check in verdict.checks if check.outcome == Outcome.REGRESSION]
    assert [(check.of, "planted: out of memory" in check.note) for check in red] == [("96x96", True)]
    sizes = resized.subject("fails_at_one_size").sizes
    assert sum(bool(size.compiled_s) for size in sizes) == len(sizes) - 1


def test_dynamic_shapes_pass(resized: InnerRun) -> None:
    """A backend that compiles for all sizes at once compiles nothing after warm-up."""
    verdict = resized.verdict("shapes", "dynamic_shapes")
    assert verdict.outcome == Outcome.PASS, verdict.reason


@pytest.fixture(scope="module")
def bare(workspace: Workspace) -> InnerRun:
    """The quality gate on a case that has no stored picture."""
    return workspace.run("-k", "quality", "--case", "bare", guarded=False, report="bare")


def test_missing_picture_is_not_comparable(bare: InnerRun) -> None:
    """A missing expected picture is NOT_COMPARABLE, with the exit code of missing evidence."""
    verdict = bare.verdict("quality", case="bare")
    assert (verdict.outcome, bare.code) == (Outcome.NOT_COMPARABLE, EXIT_UNDECIDED), bare.output


def test_missing_picture_says_what_to_do(bare: InnerRun) -> None:
    """The verdict on a missing expected picture names the option that draws candidates."""
    assert "--update-baselines" in bare.verdict("quality", case="bare").reason


@pytest.fixture(scope="module")
def elsewhere(workspace: Workspace) -> InnerRun:
    """Quality and shapes on a backend that is wrong at every size but the case's own."""
    selection = ("-k", "quality or shapes", "--case", "mini", "--recipe", "wrong_elsewhere")
    return workspace.run(*selection, guarded=False, report="elsewhere")


def test_wrong_picture_at_another_size_passes_quality(elsewhere: InnerRun) -> None:
    """The quality gate draws the case's own size only, and there the picture is right."""
    assert elsewhere.verdict("quality", "wrong_elsewhere").outcome == Outcome.PASS, elsewhere.output


def test_wrong_picture_at_another_size_is_a_regression(elsewhere: InnerRun) -> None:
    """A picture that is wrong at another size loses the shapes gate, which names the size."""
    verdict = elsewhere.verdict("shapes", "wrong_elsewhere")
    assert (verdict.outcome, elsewhere.code) == (Outcome.REGRESSION, EXIT_REGRESSION), elsewhere.output
    assert "live worst-tile SSIM of 96x96: obtained" in verdict.reason


@pytest.fixture(scope="module")
def sequence(approval: Approval, make_workspace: MakeWorkspace) -> InnerRun:
    """The quality gate on a recipe that fails and then on one that looks for what the first one left."""
    workspace = make_workspace("sequence")
    recipes = planted("one_tile_damaged", "alone_in_memory")
    workspace.add_case(case_toml(recipes), expected=approval.expected)
    return workspace.run("-k", "quality", guarded=False)


def test_failed_recipe_leaves_no_pipeline_behind(sequence: InnerRun) -> None:
    """After a red gate the former recipe's pipeline is gone when the next one is built."""
    assert sequence.verdict("quality", "one_tile_damaged").outcome == Outcome.REGRESSION, sequence.output
    assert sequence.verdict("quality", "alone_in_memory").outcome == Outcome.PASS, sequence.output


@pytest.fixture(scope="module")
def forgetful(approval: Approval, make_workspace: MakeWorkspace) -> InnerRun:
    """A gate test of a user's own that takes a verdict and forgets to assert it."""
    workspace = make_workspace("forgetful")
    workspace.add_case(case_toml(planted("black")), expected=approval.expected)
    test = workspace.folder / "gate" / "test_quality.py"
    lines = test.read_text(encoding="utf-8").splitlines()
    test.write_text("\n".join(line for line in lines if "assert verdict" not in line) + "\n", encoding="utf-8")
    return workspace.run("-k", "quality", guarded=False)


def test_forgotten_assertion_is_not_green(forgetful: InnerRun) -> None:
    """The exit code tells a regression even where the test itself did not fail."""
    assert "1 passed" in forgetful.output
    assert forgetful.code == EXIT_REGRESSION, forgetful.output
