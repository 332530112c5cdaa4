"""A recipe's environment variables are in force wherever its pipeline is built and called, and nowhere else."""

import pytest
from tests.plugin.inner import InnerRun, MakeWorkspace, case_toml

from nearlossless.verdicts import Outcome

pytestmark = pytest.mark.slow
BACKEND = 'backend = "planted_backends:told_by_its_variable"'


@pytest.fixture(scope="module")
def inner_run(make_workspace: MakeWorkspace) -> InnerRun:
    """The shapes gate, guarded by processes, on a recipe with the variable and one without; the shell has another."""
    workspace = make_workspace("environment")
    variable = f'{BACKEND}\nenvironment = {{ NEXFORT_PLANTED = "recipe" }}'
    workspace.add_case(case_toml({"with_its_own": variable, "with_the_shells": BACKEND}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEXFORT_PLANTED", "shell")
        return workspace.run("-k", "shapes", report="environment")


def test_recipes_own_value_wins(inner_run: InnerRun) -> None:
    """In fresh processes and in the session the recipe's value is in force, and the record tells it."""
    assert inner_run.verdict("shapes", "with_its_own").outcome == Outcome.PASS, inner_run.output
    fingerprint = inner_run.subject("with_its_own").fingerprint
    assert fingerprint is not None
    assert fingerprint.stack["NEXFORT_PLANTED"] == "recipe"


def test_other_recipe_sees_the_shells(inner_run: InnerRun) -> None:
    """A recipe judged after it in the same session sees the shell's value, not the former recipe's."""
    verdict = inner_run.verdict("shapes", "with_the_shells")
    assert verdict.outcome == Outcome.REGRESSION, inner_run.output
    assert "NEXFORT_PLANTED is shell" in verdict.reason
