"""Waived regressions in a run: xfailed, told as WAIVED, no failure, and only for as long as the waiver holds."""

import re

import pytest
from tests.plugin.inner import Workspace, case_toml

from nearlossless.record import read_record
from nearlossless.verdicts import Outcome

RECIPES = ("covered", "raises", "ended", "mended", "other")
# A gate that measures nothing: what it finds is decided by the recipe.
GATE = """
import pytest

from nearlossless.backends import BackendError
from nearlossless.verdicts import at_least, verdict


@pytest.fixture
def failing(subject):
    if subject.recipe_name == "raises":
        raise BackendError("does not compile")


@pytest.mark.gate("quality")
def test_quality(subject, failing, gate):
    obtained = 0.99 if subject.recipe_name == "mended" else 0.5
    judged = gate(verdict("quality", [at_least("SSIM", obtained, 0.9, of="a ring")]))
    assert judged.is_pass, str(judged)
"""


def waiver(recipe: str, *, until: str = "2999-12-31", check: str = "") -> str:
    """The table of one waiver."""
    lines = [f'recipe = "{recipe}"', 'gate = "quality"', f'reason = "{recipe} is known"', f"until = {until}", check]
    return "[[waivers]]\n" + "\n".join(lines) + "\n"


@pytest.fixture
def workspace(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """One gate, a recipe for each way in which it can end, and waivers for all but the last."""
    workspace = Workspace.create(pytester.path)
    for name, value in workspace.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    for path in (workspace.folder / "gate").glob("test_*.py"):
        path.unlink()
    (workspace.folder / "gate" / "test_quality.py").write_text(GATE, encoding="utf-8")
    waivers = [waiver("covered", check='check = "SSIM"'), waiver("raises"), waiver("mended")]
    waivers.append(waiver("ended", until="2020-02-29"))
    recipes = dict.fromkeys(RECIPES, 'backend = "planted_backends:identity"')
    workspace.add_case(case_toml(recipes) + "".join(waivers))
    return workspace


def run(pytester: pytest.Pytester, *recipes: str) -> pytest.RunResult:
    """Gate these recipes in a process of its own."""
    chosen = [option for recipe in recipes for option in ("--recipe", recipe)]
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", "-ra", "--report-dir", "report", "gate", *chosen)


def test_waived_gates_are_xfailed_and_green(pytester: pytest.Pytester, workspace: Workspace) -> None:
    """A covered check and a backend that raises are xfailed with reason and end; the run's exit code is a pass's."""
    result = run(pytester, "covered", "raises", "mended")
    result.assert_outcomes(xfailed=2, passed=1)
    assert result.ret == pytest.ExitCode.OK
    output = str(result.stdout)
    assert re.search(r"^XFAIL .*WAIVED SSIM of a ring.*waived until 2999-12-31: covered is known", output, re.MULTILINE)
    assert re.search(r"^WAIVED +quality: .*waived until 2999-12-31: covered is known", output, re.MULTILINE)
    assert re.search(
        r"^WAIVED +quality: .*does not compile \(waived until 2999-12-31: raises is known\)", output, re.MULTILINE
    )
    assert "waiver of mended / quality until 2999-12-31 not needed any more" in output
    record = read_record(pytester.path / "report" / "record.json")
    outcomes = {subject.recipe: subject.verdicts[0].outcome for subject in record.subjects}
    assert outcomes == {"covered": Outcome.WAIVED, "raises": Outcome.WAIVED, "mended": Outcome.PASS}
    for name in ("summary.md", "report.html"):
        report = (pytester.path / "report" / name).read_text(encoding="utf-8")
        assert "WAIVED" in report
        assert "waived until 2999-12-31: covered is known" in report
        assert "not needed any more" in report


def test_ended_and_missing_waivers_leave_a_failure(pytester: pytest.Pytester, workspace: Workspace) -> None:
    """After its last day a waiver waives nothing, and the failure says so; another recipe's is none of its own."""
    result = run(pytester, "covered", "ended", "other")
    result.assert_outcomes(xfailed=1, failed=2)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert "the waiver ended on 2020-02-29" in str(result.stdout)
