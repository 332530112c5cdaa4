"""`--against`: gates that compare two software stacks are there when one is named, and only then."""

import sys
import venv

import pytest
from tests.plugin.inner import IDENTITY, LOOSE, InnerRun, MakeWorkspace, Workspace, case_toml

from nearlossless.fields import STACK_GATES
from nearlossless.verdicts import EXIT_REGRESSION, EXIT_UNDECIDED, Outcome

STACK_TESTS = ("test_stack_speed", "test_stack_memory", "test_stack_pictures")
ALLOWED = {"max_stack_slowdown": 0.5, "max_stack_memory_ratio": 0.5}


@pytest.fixture(scope="module")
def workspace(make_workspace: MakeWorkspace) -> Workspace:
    """One case that allows half of the speed to be lost, and asks for half of the memory."""
    workspace = make_workspace("against")
    workspace.add_case(case_toml(thresholds={**LOOSE, **ALLOWED}))
    return workspace


@pytest.fixture(scope="module")
def same(workspace: Workspace) -> InnerRun:
    """This environment against itself."""
    return workspace.run("-k", "stack", "--against", sys.executable, report="same")


def test_absent_without_the_option(workspace: Workspace) -> None:
    """Without another stack no gate that compares with one is collected, and none is skipped."""
    run = workspace.run("--collect-only", "-q")
    assert "::test_speedup[" in run.output
    assert not [name for name in STACK_TESTS if f"::{name}[" in run.output], run.output
    assert "deselected" not in run.output


def test_nothing_else_selected_is_a_usage_error(workspace: Workspace) -> None:
    """To ask for these gates alone and name no other stack is an error that names the option."""
    run = workspace.run("-k", "stack")
    assert run.code == pytest.ExitCode.USAGE_ERROR, run.output
    assert "need --against PYTHON" in run.output


def test_interpreter_that_is_not_there_is_a_usage_error(workspace: Workspace) -> None:
    """A name that is no program ends with pytest's usage error before anything is measured."""
    run = workspace.run("--against", "/no/such/python")
    assert run.code == pytest.ExitCode.USAGE_ERROR
    assert "--against /no/such/python: is no program that can be run" in run.output


def test_empty_environment_is_not_comparable(workspace: Workspace) -> None:
    """An environment that lacks libraries is NOT_COMPARABLE in each gate, with the command that installs them."""
    python = workspace.folder / "empty" / "bin" / "python"
    venv.create(python.parents[1], symlinks=True, with_pip=False)
    run = workspace.run("-k", "stack", "--against", str(python), report="empty")
    assert run.code == EXIT_UNDECIDED, run.output
    for gate in STACK_GATES:
        verdict = run.verdict(gate)
        assert verdict.outcome == Outcome.NOT_COMPARABLE
        assert f"{python} -m pip install" in verdict.reason


@pytest.mark.slow
@pytest.mark.parametrize(
    ("gate", "outcome"), zip(STACK_GATES, (Outcome.PASS, Outcome.REGRESSION, Outcome.PASS), strict=True)
)
def test_every_gate_has_its_verdict(same: InnerRun, gate: str, outcome: Outcome) -> None:
    """An environment beside itself passes speed and pictures, and cannot halve the memory."""
    verdict = same.verdict(gate)
    assert verdict.outcome == outcome, verdict.reason


@pytest.mark.slow
def test_regression_decides_the_exit_code(same: InnerRun) -> None:
    """A regression beside another stack ends with the exit code of any regression."""
    assert same.code == EXIT_REGRESSION, same.output


@pytest.mark.slow
def test_both_stacks_are_kept_and_shown(same: InnerRun) -> None:
    """The record has both stacks with their raw pairs, and every report a table of both."""
    stacks = same.subject(*IDENTITY).stacks
    assert stacks is not None
    assert stacks.there.fingerprint.stack == stacks.here.fingerprint.stack
    assert len(stacks.pairs) >= 3
    for text in (same.output, *((same.report / name).read_text("utf-8") for name in ("summary.md", "report.html"))):
        assert "from there to here: the same versions" in text
        assert "other stack" in text
