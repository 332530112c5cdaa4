"""The workflows: what may run where, and that they run what the docs tell people to run."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
DOCS = [ROOT / name for name in ("README.md", ".github/CONTRIBUTING.md", "docs/gpu-runner.md", "docs/history.md")]
RunStep = Callable[[str, str], str]
PINNED = re.compile(r"uses: (\./\.github/workflows/[a-z]+\.yml|[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+)")
# Words that a command in a workflow has besides those of the docs: where its tox lies, and what the job fills in.
OWN = {
    ".venv/bin/tox",
    "$TOX_ENV",
    "$TIER",
    "$HISTORY_OPTION",
    "$NEARLOSSLESS_HISTORY",
    "dist/*.whl",
    "--installpkg",
    "nightly",
}


def load(path: Path) -> dict[Any, Any]:
    """A workflow; YAML reads the key `on` as true."""
    loaded: dict[Any, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return loaded


def triggers(workflow: dict[Any, Any]) -> Any:
    """When it runs."""
    return workflow[True]


def commands(workflow: dict[Any, Any]) -> list[str]:
    """Every line of every script."""
    steps = [step for job in workflow["jobs"].values() for step in job.get("steps", [])]
    return [line.strip() for step in steps for line in step.get("run", "").splitlines()]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned(path: Path) -> None:
    """Every action is pinned by the hash of a commit, with its version beside it."""
    uses = [
        line.strip().removeprefix("- ") for line in path.read_text(encoding="utf-8").splitlines() if "uses:" in line
    ]
    assert [line for line in uses if PINNED.fullmatch(line) is None] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_permissions_are_granted_job_by_job(path: Path) -> None:
    """A workflow has none; a job names its own, and none may write but the two that have to."""
    workflow = load(path)
    assert workflow["permissions"] == {}
    writes = {
        f"{path.stem}/{name}: {permission}"
        for name, job in workflow["jobs"].items()
        for permission, access in job["permissions"].items()
        if access == "write"
    }
    assert writes <= {"nightly/issue: issues", "release/release: contents"}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_own_runner_runs_no_pull_request_without_a_label(path: Path) -> None:
    """Where a job runs on a machine of ours, a pull request starts it by the label `gpu` alone."""
    workflow = load(path)
    assert "pull_request_target" not in triggers(workflow)
    own = [job for job in workflow["jobs"].values() if "self-hosted" in job.get("runs-on", [])]
    if own and "pull_request" in triggers(workflow):
        assert triggers(workflow)["pull_request"] == {"types": ["labeled"]}
        assert {job["if"] for job in own} == {"github.event_name != 'pull_request' || github.event.label.name == 'gpu'"}


def test_gates_require_a_gpu() -> None:
    """The command of every GPU job fails without one."""
    tox = ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini")
    assert "--require-gpu" in tox["testenv:gate-gpu"]["commands"]
    own = [job for path in WORKFLOWS for job in load(path)["jobs"].values() if "self-hosted" in job.get("runs-on", [])]
    assert own
    for job in own:
        assert any("gate-gpu" in step.get("run", "") for step in job["steps"])


def test_pull_requests_only_read_the_history() -> None:
    """The history orders a pull request's gates, too, and keeps nothing of it; whoever else gates is kept."""
    jobs = load(ROOT / ".github" / "workflows" / "gate.yml")["jobs"]
    (step,) = [step for step in jobs["gate"]["steps"] if "gate-gpu" in step.get("run", "")]
    assert step["env"]["NEARLOSSLESS_HISTORY"] == "${{ vars.NEARLOSSLESS_HISTORY }}"
    only_read = "${{ github.event_name == 'pull_request' && '--history-read-only' || '' }}"
    assert step["env"]["HISTORY_OPTION"] == only_read
    assert step["run"].split()[-1] == "$HISTORY_OPTION"  # without quotes: where it is empty, it is no word


def test_every_claimed_python_is_tested() -> None:
    """CI runs tox under each version of Python that the package's classifiers name, and the env is that version's."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    claimed = {name.rpartition(" ")[2] for name in project["classifiers"] if "Python :: 3." in name}
    matrix = load(ROOT / ".github" / "workflows" / "ci.yml")["jobs"]["test"]["strategy"]["matrix"]
    assert {*matrix["python"], *(each["python"] for each in matrix["include"])} == claimed
    tox = ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini")
    for each in matrix["include"]:
        assert tox[f"testenv:{each['env']}"]["base_python"] == f"python{each['python']}"


def test_release_waits_for_the_gates() -> None:
    """A tag is published by a job that needs the gates of the tier 'release'."""
    workflow = load(ROOT / ".github" / "workflows" / "release.yml")
    assert triggers(workflow) == {"push": {"tags": ["v*"]}}
    gate = workflow["jobs"]["gate"]
    assert (gate["uses"], gate["with"]) == ("./.github/workflows/gate.yml", {"tier": "release"})
    assert "gate" in workflow["jobs"]["release"]["needs"]


@pytest.mark.parametrize("name", ["ci", "release"])
def test_browser_is_promised(name: str) -> None:
    """GitHub's machines have a Chromium: the tests that need one may not be skipped there, and tox is told so."""
    steps = load(ROOT / ".github" / "workflows" / f"{name}.yml")["jobs"]["test"]["steps"]
    (env,) = [step["env"] for step in steps if "$TOX_ENV" in step.get("run", "")]
    assert env["NEARLOSSLESS_REQUIRE_CHROMIUM"] == "1"
    tox = ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini")
    assert "NEARLOSSLESS_REQUIRE_CHROMIUM" in tox["testenv:tests"]["pass_env"].split()


@pytest.mark.slow
@pytest.mark.parametrize(("promise", "code"), [({}, 0), ({"NEARLOSSLESS_REQUIRE_CHROMIUM": "1"}, 1)])
def test_promised_browser_that_is_missing_is_a_failure(promise: dict[str, str], code: int) -> None:
    """Where no Chromium is found its tests are skipped, but fail where one is promised."""
    tests = "tests/unit/report/test_browser.py"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-k", "theme", tests]
    done = subprocess.run(command, cwd=ROOT, env={"PATH": "", **promise}, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout
    assert "no Chromium found" in done.stdout or "playwright is not installed" in done.stdout


@pytest.mark.parametrize("name", ["ci", "gate", "nightly"])
def test_one_job_sums_up(name: str) -> None:
    """One job runs whatever happened and needs every other: a rule for branches names it alone."""
    jobs = load(ROOT / ".github" / "workflows" / f"{name}.yml")["jobs"]
    assert set(jobs["all"]["needs"]) == set(jobs) - {"all"}
    assert jobs["all"]["if"].startswith("always()")


def test_skipped_gates_are_no_green_check() -> None:
    """GitHub shows a skipped job as a green check, so that one which another label skips has another name."""
    job = load(ROOT / ".github" / "workflows" / "gate.yml")["jobs"]["all"]
    condition = job["if"].removeprefix("always() && ")
    assert condition.startswith("(")
    assert job["name"] == f"${{{{ {condition} && 'all gates' || 'no gates' }}}}"


def test_issue_ends_with_the_failure() -> None:
    """The nightly issue is written to after exit code 1, closed after 0, and left alone after any other."""
    job = load(ROOT / ".github" / "workflows" / "nightly.yml")["jobs"]["issue"]
    codes = {
        code: [step["run"] for step in job["steps"] if f"== '{code}'" in step.get("if", "")] for code in (0, 1, 10)
    }
    assert [len(found) for found in codes.values()] == [1, 1, 0]
    assert ("gh issue close" in codes[0][0], "gh issue create" in codes[1][0]) == (True, True)
    assert job["if"] == "always() && (needs.gate.outputs.code == '1' || needs.gate.outputs.code == '0')"


@pytest.fixture
def run_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunStep:
    """Runs a step of the night's by job and name; returns all that it gave the job's page or a `gh` that repeats it."""
    page, program = tmp_path / "page.md", tmp_path / "gh"
    program.write_text(
        '#!/bin/sh\necho "gh $*" >> page.md\ntest "$2" != create || cat body.md >> page.md\n', encoding="utf-8"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(page))

    def run(job: str, name: str) -> str:
        steps = load(ROOT / ".github" / "workflows" / "nightly.yml")["jobs"][job]["steps"]
        (script,) = [step["run"] for step in steps if step.get("name") == name]
        page.write_text("", encoding="utf-8")
        subprocess.run(["/bin/bash", "-e", "-c", script], cwd=tmp_path, check=True)
        return page.read_text(encoding="utf-8")

    return run


@pytest.mark.parametrize("summary", ["REGRESSION, says the gate", None])
def test_night_without_a_report_is_told(tmp_path: Path, run_step: RunStep, summary: str | None) -> None:
    """The page has the summary and the history, the issue the summary; where no report was written, both say so."""
    report = tmp_path / "nearlossless-report"
    if summary is not None:
        report.mkdir()
        (report / "summary.md").write_text(summary, encoding="utf-8")
    run_step("gate", "a summary also where no gate came to a verdict")
    (report / "history.txt").write_text("a step in speedup", encoding="utf-8")
    told = summary or "No report was written: see the log."
    page = run_step("gate", "summary")
    assert (page.startswith(told), "a step in speedup" in page) == (True, True)
    report.rename(tmp_path / "report")
    issue = run_step("issue", "open the issue, or add to the one that is open")
    assert "--title The nightly gates failed" in issue  # true of a test that failed, too
    assert issue.strip().endswith(told)


def test_lint_checks_every_workflow() -> None:
    """A workflow that is added is checked."""
    text = (ROOT / "tox.ini").read_text(encoding="utf-8")
    assert [path.name for path in WORKFLOWS if f".github/workflows/{path.name}" not in text] == []


def test_commands_are_those_of_the_docs() -> None:
    """Every word of a tox or pip command stands in a page that tells people to run it."""
    told = {word for page in DOCS for word in re.split(r"[\s`]+", page.read_text(encoding="utf-8"))}
    lines = [line for path in WORKFLOWS for line in commands(load(path)) if line.startswith(".venv/bin/")]
    assert lines
    for line in lines:
        words = shlex.split(re.split(r" \|\|? ", line)[0])
        assert [word for word in words if word not in told | OWN and not word.startswith("nearlossless-report/")] == []


def test_tiers_of_the_workflows_exist() -> None:
    """The plugin knows every tier that a workflow names."""
    from nearlossless.plugin.budget import TIERS

    known = {tier.partition(" ")[0] for tier in TIERS}
    gate = triggers(load(ROOT / ".github" / "workflows" / "gate.yml"))
    assert set(gate["workflow_dispatch"]["inputs"]["tier"]["options"]) == known
