"""The speedup in several processes: what one of them alone shows is not outvoted by the session's own."""

import pytest
from tests.plugin.inner import LOOSE, InnerRun, MakeWorkspace, case_toml

from nearlossless.verdicts import EXIT_REGRESSION, EXIT_UNDECIDED, Outcome

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def replicated(make_workspace: MakeWorkspace) -> InnerRun:
    """Speedup of three backends in two processes, and the quality of the one whose second process dies."""
    workspace = make_workspace("processes")
    names = ("identity", "slow_in_replicas", "dies_in_replicas")
    recipes = {name: f'backend = "planted_backends:{name}"' for name in names}
    workspace.add_case(case_toml(recipes, thresholds={**LOOSE, "min_speedup": 0.5}))
    chosen = "speedup or (quality and dies_in_replicas)"
    return workspace.run("-k", chosen, "--processes", "2", guarded=False)


def test_pairs_of_every_process_are_in_the_record(replicated: InnerRun) -> None:
    """A backend that changes nothing passes, and the second process has pairs of its own."""
    speeds = replicated.subject("identity").speeds
    assert len(speeds.replicas) == 1
    assert len(speeds.replicas[0].baseline_s) == len(speeds.replicas[0].compiled_s) >= 3
    assert replicated.verdict("speedup").outcome == Outcome.PASS, replicated.output


def test_slow_process_leaves_the_speedup_undecided(replicated: InnerRun) -> None:
    """A process with slower kernels keeps the gate from being green, and the reason tells both."""
    verdict = replicated.verdict("speedup", "slow_in_replicas")
    assert verdict.outcome == Outcome.INCONCLUSIVE, replicated.output
    assert "2 processes: " in verdict.reason


def test_dying_process_is_a_regression_of_the_speedup_alone(replicated: InnerRun) -> None:
    """What ends another process is told with its exit code; gates that need no such process go on."""
    verdict = replicated.verdict("speedup", "dies_in_replicas")
    assert (verdict.outcome, "exit code 7" in verdict.reason) == (Outcome.REGRESSION, True), replicated.output
    assert replicated.verdict("quality", "dies_in_replicas").outcome == Outcome.NOT_COMPARABLE
    assert replicated.code == EXIT_REGRESSION != EXIT_UNDECIDED
