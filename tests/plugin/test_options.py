"""Options, markers, order and skips: what a run decides before it measures anything."""

import re

import pytest
from tests.plugin.inner import IDENTITY, Workspace, case_toml

from nearlossless.record import read_record
from nearlossless.verdicts import Outcome

OPTIONS = (
    "--case",
    "--recipe",
    "--backend",
    "--against",
    "--baselines",
    "--report-dir",
    "--history",
    "--history-read-only",
    "--require-gpu",
    "--update-baselines",
    "--budget",
    "--tier",
    "--shard",
    "--cpu-shares",
)
ON_BOTH = '{ cpu = "float32", cuda = "bfloat16" }'
FRESH_PROCESS_GATES = ("test_memory", "test_startup")
TELLS_IMPORTS = """
import sys


def pytest_sessionfinish():
    heavy = [name for name in ("torch", "diffusers", "transformers", "torchmetrics") if name in sys.modules]
    print("heavy imports:", heavy)
"""


def cuda_is_available() -> bool:
    """Whether torch can use a GPU here; asked at run time, so that collecting these tests imports no torch."""
    import torch

    return torch.cuda.is_available()


@pytest.fixture
def workspace(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """The gate tests in pytester's folder; no case yet."""
    workspace = Workspace.create(pytester.path)
    for name, value in workspace.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    return workspace


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    """Run pytest in pytester's folder, in a process of its own."""
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", *arguments)


def collected(result: pytest.RunResult) -> list[tuple[str, str]]:
    """(test, subject) of every collected gate, in order."""
    pairs = [re.fullmatch(r"gate/\w+\.py::(\w+)\[(.+)\]", line) for line in result.outlines]
    return [(pair[1], pair[2]) for pair in pairs if pair]


def test_unknown_case_is_a_usage_error(pytester: pytest.Pytester, workspace: Workspace) -> None:
    """A --case that does not exist ends with pytest's usage error and lists the cases that there are."""
    workspace.add_case(case_toml())
    workspace.add_case(case_toml(), name="other")
    result = run(pytester, "gate", "--case", "nosuch")
    assert result.ret == pytest.ExitCode.USAGE_ERROR, str(result.stdout)
    assert "there is: mini, other" in f"{result.stdout}{result.stderr}"


def test_unknown_recipe_is_a_usage_error(pytester: pytest.Pytester, workspace: Workspace) -> None:
    """A --recipe that no selected case has ends with pytest's usage error and lists the recipes that there are."""
    workspace.add_case(case_toml({**IDENTITY, "inductor": 'backend = "inductor"'}))
    result = run(pytester, "gate", "--recipe", "nosuch")
    assert result.ret == pytest.ExitCode.USAGE_ERROR, str(result.stdout)
    assert "there is: identity, inductor" in f"{result.stdout}{result.stderr}"


def test_malformed_backend_is_a_usage_error(pytester: pytest.Pytester, workspace: Workspace) -> None:
    """A --backend that is neither built in nor module:function ends with pytest's usage error and says what is."""
    workspace.add_case(case_toml())
    result = run(pytester, "gate", "--backend", "no-such-backend")
    assert result.ret == pytest.ExitCode.USAGE_ERROR, str(result.stdout)
    assert "package.module:function" in f"{result.stdout}{result.stderr}"


def test_empty_baselines_are_a_usage_error(pytester: pytest.Pytester, workspace: Workspace) -> None:
    """A baselines folder without a case is an error that says what a case is, never an empty green run."""
    result = run(pytester, "gate")
    assert result.ret == pytest.ExitCode.USAGE_ERROR, str(result.stdout)
    assert "no case here; a case is a folder with a case.toml" in f"{result.stdout}{result.stderr}"


def test_missing_baselines_are_a_usage_error(pytester: pytest.Pytester, workspace: Workspace) -> None:
    """A --baselines folder that does not exist is named in a usage error."""
    workspace.add_case(case_toml())
    result = run(pytester, "gate", "--baselines", "nowhere")
    assert result.ret == pytest.ExitCode.USAGE_ERROR, str(result.stdout)
    assert "nowhere: no case here" in f"{result.stdout}{result.stderr}"


def test_malformed_case_is_a_usage_error(pytester: pytest.Pytester, workspace: Workspace) -> None:
    """A case.toml with an unknown key ends with a usage error that names file and key."""
    workspace.add_case(case_toml(thresholds={"min_speedupp": 1.0}))
    result = run(pytester, "gate")
    assert result.ret == pytest.ExitCode.USAGE_ERROR, str(result.stdout)
    assert "mini/case.toml" in f"{result.stdout}{result.stderr}"
    assert "thresholds.min_speedupp: unknown key" in f"{result.stdout}{result.stderr}"


def test_broken_toml_is_a_usage_error(pytester: pytest.Pytester, workspace: Workspace) -> None:
    """A case.toml that is no TOML ends with a usage error that names the file."""
    workspace.add_case("[model\n")
    result = run(pytester, "gate")
    assert result.ret == pytest.ExitCode.USAGE_ERROR, str(result.stdout)
    assert "mini/case.toml: is not valid TOML" in f"{result.stdout}{result.stderr}"


def test_help_shows_every_option(pytester: pytest.Pytester) -> None:
    """Pytest's help lists every option of the plugin."""
    text = str(run(pytester, "--help").stdout)
    assert [option for option in OPTIONS if f"\n  {option}" not in text] == []


def test_markers_are_registered(pytester: pytest.Pytester) -> None:
    """Pytest's list of markers shows gpu and gate."""
    text = str(run(pytester, "--markers").stdout)
    assert [marker for marker in ("gpu", "gate(name)") if f"@pytest.mark.{marker}: " not in text] == []


def test_gpu_marker_selects_cuda(pytester: pytest.Pytester, workspace: Workspace) -> None:
    """A case for cpu and cuda is collected once for each, and -m gpu selects the latter alone."""
    workspace.add_case(case_toml(dtype=ON_BOTH))
    found = collected(run(pytester, "gate", "--collect-only", "-q", "-m", "gpu"))
    assert {subject for _, subject in found} == {"mini-cuda-identity"}
    assert len(found) == 5


def test_no_gpu_marker_selects_cpu(pytester: pytest.Pytester, workspace: Workspace) -> None:
    """-m 'not gpu' leaves the same case on the CPU."""
    workspace.add_case(case_toml(dtype=ON_BOTH))
    found = collected(run(pytester, "gate", "--collect-only", "-q", "-m", "not gpu"))
    assert {subject for _, subject in found} == {"mini-cpu-identity"}


def test_gates_declared_away_are_no_failure(pytester: pytest.Pytester, workspace: Workspace) -> None:
    """A run all of whose gates are declared not applicable skips them, builds nothing and still writes its record."""
    declared = 'not_applicable = { quality = "draws in another style on purpose" }'
    workspace.add_case(case_toml({"identity": f"{IDENTITY['identity']}\n{declared}"}))
    result = run(pytester, "gate", "-k", "quality", "--report-dir", "report")
    result.assert_outcomes(skipped=1, deselected=8)  # four other gates, three that compare stacks, and the evaluation
    assert result.ret == pytest.ExitCode.OK
    (subject,) = read_record(pytester.path / "report" / "record.json").subjects
    assert [verdict.outcome for verdict in subject.verdicts] == [Outcome.NOT_APPLICABLE]


@pytest.fixture
def without_gpu() -> None:
    """Skips where torch can use a GPU."""
    if cuda_is_available():
        pytest.skip("this machine has a GPU")


def test_gpu_gates_skip_without_gpu(without_gpu: None, pytester: pytest.Pytester, workspace: Workspace) -> None:
    """Without a GPU the gates of a cuda case are skipped with the reason, and nothing is built."""
    workspace.add_case(case_toml(dtype='{ cuda = "bfloat16" }'))
    result = run(pytester, "gate", "-rs")
    result.assert_outcomes(skipped=5)
    assert "no CUDA GPU that torch can use" in str(result.stdout)
    assert result.ret == pytest.ExitCode.OK


def test_gpu_gates_fail_when_gpu_is_required(
    without_gpu: None, pytester: pytest.Pytester, workspace: Workspace
) -> None:
    """With --require-gpu the same gates fail, with exit code 1 and the option's name as the reason."""
    workspace.add_case(case_toml(dtype='{ cuda = "bfloat16" }'))
    result = run(pytester, "gate", "--require-gpu")
    result.assert_outcomes(errors=5)
    assert "--require-gpu: this machine has no CUDA GPU" in str(result.stdout)
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_collecting_imports_nothing_heavy(pytester: pytest.Pytester, workspace: Workspace) -> None:
    """--collect-only imports neither torch nor diffusers nor transformers."""
    workspace.add_case(case_toml(dtype=ON_BOTH))
    pytester.makeconftest(TELLS_IMPORTS)
    result = run(pytester, "gate", "--collect-only", "-q", "-s")
    assert len(collected(result)) == 10
    assert "heavy imports: []" in str(result.stdout)


def test_subjects_come_one_after_the_other(pytester: pytest.Pytester, workspace: Workspace) -> None:
    """All gates of one subject come before any of the next, in the order of cases, devices and recipes."""
    workspace.add_case(case_toml({**IDENTITY, "inductor": 'backend = "inductor"'}, dtype=ON_BOTH))
    workspace.add_case(case_toml(), name="other")
    subjects = [subject for _, subject in collected(run(pytester, "gate", "--collect-only", "-q"))]
    expected = [
        "mini-cpu-identity",
        "mini-cpu-inductor",
        "mini-cuda-identity",
        "mini-cuda-inductor",
        "other-cpu-identity",
    ]
    assert subjects == [subject for subject in expected for _ in range(5)]


def test_fresh_process_gates_come_first(pytester: pytest.Pytester, workspace: Workspace) -> None:
    """Of each subject the gates with processes of their own come before those that build pipelines."""
    workspace.add_case(case_toml({**IDENTITY, "inductor": 'backend = "inductor"'}))
    tests = [test for test, _ in collected(run(pytester, "gate", "--collect-only", "-q"))]
    fresh = [test in FRESH_PROCESS_GATES for test in tests]
    assert fresh == [True, True, False, False, False] * 2


def test_case_off_by_default_is_not_collected(pytester: pytest.Pytester, workspace: Workspace) -> None:
    """A case with default = false is left out of a run that names no case."""
    workspace.add_case(case_toml())
    workspace.add_case(case_toml(head="default = false"), name="large")
    found = collected(run(pytester, "gate", "--collect-only", "-q"))
    assert {subject for _, subject in found} == {"mini-cpu-identity"}


def test_case_off_by_default_runs_when_named(pytester: pytest.Pytester, workspace: Workspace) -> None:
    """A case with default = false is collected, alone, when --case names it."""
    workspace.add_case(case_toml())
    workspace.add_case(case_toml(head="default = false"), name="large")
    found = collected(run(pytester, "gate", "--collect-only", "-q", "--case", "large"))
    assert {subject for _, subject in found} == {"large-cpu-identity"}


def test_no_case_by_default_is_a_usage_error(pytester: pytest.Pytester, workspace: Workspace) -> None:
    """Where no case runs by default, a run that names none is a usage error that lists the cases."""
    workspace.add_case(case_toml(head="default = false"), name="large")
    result = run(pytester, "gate")
    assert result.ret == pytest.ExitCode.USAGE_ERROR, str(result.stdout)
    assert "choose with --case: large" in f"{result.stdout}{result.stderr}"


def test_recipe_selects(pytester: pytest.Pytester, workspace: Workspace) -> None:
    """--recipe leaves only the recipes that it names."""
    workspace.add_case(case_toml({**IDENTITY, "inductor": 'backend = "inductor"'}))
    found = collected(run(pytester, "gate", "--collect-only", "-q", "--recipe", "inductor"))
    assert {subject for _, subject in found} == {"mini-cpu-inductor"}


def test_backend_replaces_recipes(pytester: pytest.Pytester, workspace: Workspace) -> None:
    """--backend gates that backend alone, under an id made of its name."""
    workspace.add_case(case_toml())
    found = collected(run(pytester, "gate", "--collect-only", "-q", "--backend", "mine.fast:apply"))
    assert {subject for _, subject in found} == {"mini-cpu-mine.fast.apply"}


def test_report_that_is_a_file_is_a_usage_error(pytester: pytest.Pytester, workspace: Workspace) -> None:
    """A --report-dir that is a file is refused before anything is measured."""
    workspace.add_case(case_toml())
    (pytester.path / "report").write_text("", encoding="utf-8")
    result = run(pytester, "gate", "-k", "quality", "--report-dir", "report")
    assert result.ret == pytest.ExitCode.USAGE_ERROR, str(result.stdout)
