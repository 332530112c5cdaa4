"""What a real run leaves for machines and for the next run: JUnit properties, the reproducing command, its folder."""

import shlex
import subprocess
import sys
from xml.etree import ElementTree as ET

import pytest
from tests.plugin.inner import TIME_LIMIT_S, MakeWorkspace, case_toml

from nearlossless.report.verdict_list import listed
from nearlossless.runs.run import Run

pytestmark = pytest.mark.slow


def test_junit_file_and_command_lead_back_to_the_gate(make_workspace: MakeWorkspace) -> None:
    """A gate's test case has verdict and figures as properties, and the page's command collects just that test."""
    workspace = make_workspace("junit")
    workspace.add_case(case_toml())
    run = workspace.run("-k", "shapes", "--junit-xml", "junit.xml", guarded=False)
    (case,) = ET.parse(workspace.folder / "junit.xml").getroot().iter("testcase")  # noqa: S314 (written by pytest)
    properties = {each.get("name"): each.get("value") for each in case.iter("property")}
    assert properties["verdict"] == run.verdict("shapes").outcome
    assert properties["reason"] == run.verdict("shapes").reason
    assert properties["stalls after warm-up"] == "0 (required <= 1)"
    (verdict,) = listed(run.record)
    command = [sys.executable, "-m", *shlex.split(verdict.command), "--collect-only", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        command,
        cwd=workspace.folder,
        env=workspace.environment(),
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line for line in done.stdout.splitlines() if "::" in line] == [run.verdict("shapes").test]


def test_folder_of_a_running_run_is_refused(make_workspace: MakeWorkspace) -> None:
    """A second run into the same folder is a usage error before anything is measured, and changes nothing there."""
    workspace = make_workspace("occupied")
    workspace.add_case(case_toml())
    first = Run(workspace.folder / "report")
    first.prepare()
    try:
        second = workspace.run("-k", "shapes", guarded=False)
    finally:
        first.release()
    assert second.code == pytest.ExitCode.USAGE_ERROR
    assert "another run writes into it" in second.output
    assert [path.name for path in second.report.iterdir() if not path.name.startswith(".")] == []
