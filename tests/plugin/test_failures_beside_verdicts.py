"""What goes wrong beside a verdict is a failure of its own: told with its own words, and the run ends with 1."""

import pytest
from tests.plugin.inner import Workspace, case_toml

from nearlossless.report.since import is_green
from nearlossless.verdicts import EXIT_REGRESSION, EXIT_UNDECIDED, Outcome

pytestmark = pytest.mark.slow

RECIPES = ("sound", "checked", "torn", "waived", "undecided", "raises")
# A gate that measures nothing: how it ends is decided by the recipe.
GATE = """
import pytest

from nearlossless.verdicts import at_least, verdict

FIGURES = {"waived": 0.5, "undecided": None, "raises": None}


@pytest.fixture
def device(subject):
    yield
    if subject.recipe_name in {"torn", "waived"}:
        raise RuntimeError("CUDA error: an illegal memory access")


@pytest.mark.gate("quality")
def test_quality(subject, device, gate):
    judged = gate(verdict("quality", [at_least("SSIM", FIGURES.get(subject.recipe_name, 0.99), 0.9)]))
    if subject.recipe_name == "raises":
        raise RuntimeError("broken after its verdict")
    assert judged.is_pass, str(judged)
    assert subject.recipe_name != "checked", "a check beside the verdict"
"""
WAIVER = """
[[waivers]]
recipe = "waived"
gate = "quality"
reason = "known for long"
until = 2999-12-31
"""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """One gate, and a recipe for each way in which it can end."""
    workspace = Workspace.create(tmp_path_factory.mktemp("beside"))
    for path in (workspace.folder / "gate").glob("test_*.py"):
        path.unlink()
    (workspace.folder / "gate" / "test_quality.py").write_text(GATE, encoding="utf-8")
    workspace.add_case(case_toml(dict.fromkeys(RECIPES, 'backend = "planted_backends:identity"')) + WAIVER)
    return workspace


@pytest.mark.parametrize(
    ("recipe", "outcome", "ended", "told"),  # `ended` with the undecided recipe beside it, which is one that failed
    [
        ("checked", Outcome.PASS, "2 failed", "AssertionError: a check beside the verdict"),
        ("torn", Outcome.PASS, "1 failed, 1 passed, 1 error", "RuntimeError: CUDA error: an illegal memory access"),
        (
            "waived",
            Outcome.WAIVED,
            "1 failed, 1 xfailed, 1 error",
            "RuntimeError: CUDA error: an illegal memory access",
        ),
        ("raises", Outcome.NOT_COMPARABLE, "2 failed", "RuntimeError: broken after its verdict"),
    ],
)
def test_failure_beside_a_verdict_is_one(
    workspace: Workspace, recipe: str, outcome: Outcome, ended: str, told: str
) -> None:
    """The verdict stays, the failure is told in its own words, and not even missing evidence elsewhere hides it."""
    run = workspace.run("--recipe", recipe, "--recipe", "undecided", report=recipe)
    assert run.code == EXIT_REGRESSION, run.output
    assert run.verdict("quality", recipe).outcome == outcome
    assert told in run.output
    assert f"= {ended} in " in run.output
    assert not is_green(run.record, run.subject(recipe))


@pytest.mark.parametrize(("recipe", "code"), [("sound", 0), ("undecided", EXIT_UNDECIDED)])
def test_assertion_of_a_verdict_is_none_beside_it(workspace: Workspace, recipe: str, code: int) -> None:
    """A test that only asserts its verdict ends as that says, a green one and one that is not."""
    run = workspace.run("--recipe", recipe, report=recipe)
    assert run.code == code, run.output
    assert is_green(run.record, run.subject(recipe)) is (code == 0)
