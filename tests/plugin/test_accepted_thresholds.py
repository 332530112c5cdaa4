"""Thresholds that nobody has measured yet: a run measures, offers its record, and approving it sets them."""

import pytest
from tests.plugin.inner import InnerRun, MakeWorkspace, Workspace, case_toml, tree

from nearlossless.cases.files import load_case
from nearlossless.environment import hardware_name
from nearlossless.record import read_record
from nearlossless.verdicts import EXIT_UNDECIDED, Outcome

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def workspace(make_workspace: MakeWorkspace) -> Workspace:
    """A case that asks for a warm start only, with a comment of its own."""
    workspace = make_workspace("unmeasured")
    workspace.add_case("# written by hand\n" + case_toml(thresholds={"max_warm_start_ratio": 5.0}))
    return workspace


@pytest.fixture(scope="module")
def unmeasured(workspace: Workspace) -> InnerRun:
    """Memory and start-up without a budget."""
    return workspace.run("-k", "memory or startup")


@pytest.fixture(scope="module")
def shown(workspace: Workspace, unmeasured: InnerRun) -> tuple[str, bool]:
    """What approving says without --thresholds, and whether it left the baselines alone."""
    before = tree(workspace.baselines)
    done = workspace.approve(unmeasured.report, "measured on a quiet machine")
    return done.stdout, tree(workspace.baselines) == before


@pytest.fixture(scope="module")
def accepted(workspace: Workspace, unmeasured: InnerRun, shown: tuple[str, bool]) -> str:
    """What approving says with --thresholds."""
    done = workspace.approve(unmeasured.report, "measured on a quiet machine", "--thresholds")
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_missing_thresholds_are_not_comparable_and_measured(unmeasured: InnerRun) -> None:
    """Gates without a threshold measure everything, and end as missing evidence."""
    outcomes = {gate: unmeasured.verdict(gate).outcome for gate in ("memory", "startup")}
    assert outcomes == {"memory": Outcome.NOT_COMPARABLE, "startup": Outcome.NOT_COMPARABLE}, unmeasured.output
    figures = [check for gate in outcomes for check in unmeasured.verdict(gate).checks if check.comparison]
    assert figures
    assert all(check.obtained is not None for check in figures)
    assert unmeasured.code == EXIT_UNDECIDED


def test_record_is_offered(unmeasured: InnerRun) -> None:
    """The summary says how the record becomes thresholds."""
    assert f"nearlossless approve {unmeasured.report} --reason" in unmeasured.output


def test_offer_is_shown_before_anything_is_written(shown: tuple[str, bool]) -> None:
    """Without --thresholds the lines are printed and no file changes."""
    output, is_untouched = shown
    assert is_untouched
    assert all(name in output for name in ("max_memory_ratio = ", "max_cold_start_s = ", "--thresholds writes"))


def test_accepted_figures_are_in_force(workspace: Workspace, accepted: str) -> None:
    """The case then holds the same recipe on the same hardware to the measured figures, with date and reason."""
    folder = workspace.baselines / "mini"
    in_force = load_case(folder).thresholds_for("identity", "cpu", hardware_name("cpu"))
    assert None not in (in_force.max_memory_ratio, in_force.max_cold_start_s), accepted
    assert in_force.max_warm_start_ratio == 5.0
    text = (folder / "case.toml").read_text(encoding="utf-8")
    assert text.startswith("# written by hand\n")
    assert ": measured on a quiet machine" in text


def test_accepted_record_is_kept(workspace: Workspace, unmeasured: InnerRun, accepted: str) -> None:
    """The record behind the thresholds lies in the hardware's folder."""
    (path,) = workspace.baselines.rglob("record-identity.json")
    assert read_record(path).subjects == [unmeasured.subject("identity")], accepted
