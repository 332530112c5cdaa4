"""A run's record in a history, and its latency samples in pytest-benchmark, from inside real runs."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.plugin.inner import InnerRun, MakeWorkspace, Workspace, case_toml

from nearlossless.history.store import newest
from nearlossless.progress import duration
from nearlossless.record import RECORD_FILE
from nearlossless.speed.latencies import PairedLatencies
from nearlossless.verdicts import EXIT_UNDECIDED, Outcome

pytestmark = pytest.mark.slow

FAST = ("-k", "speedup", "-o", "nearlossless_history=from-ini")


@pytest.fixture(scope="module")
def workspace(make_workspace: MakeWorkspace) -> Workspace:
    """A workspace with one quick case."""
    workspace = make_workspace("history")
    workspace.add_case(case_toml())
    return workspace


@pytest.fixture(scope="module")
def saved(workspace: Workspace) -> InnerRun:
    """A green run of the speedup gate, kept in a history and, in both its ways, by pytest-benchmark."""
    options = ("--history", "kept", "--benchmark-json", "now.json", "--benchmark-save", "first")
    return workspace.run(*FAST, *options, guarded=False, report="saved")


def benchmarks(path: Path) -> Any:
    """What pytest-benchmark saved."""
    return json.loads(path.read_text(encoding="utf-8"))["benchmarks"]


def test_record_is_kept_where_the_command_line_says(workspace: Workspace, saved: InnerRun) -> None:
    """The history holds the run's record as the report folder does; the ini setting gives way to the option."""
    assert saved.code == 0, saved.output
    (entry,) = newest(workspace.folder / "kept", 10).entries
    assert entry.record == saved.record
    assert f"history: {workspace.folder / 'kept' / entry.name}" in saved.output
    assert not (workspace.folder / "from-ini").exists()


def test_benchmarks_are_the_judged_samples(workspace: Workspace, saved: InnerRun) -> None:
    """pytest-benchmark's file holds the samples of the record that were not set aside, every one and no other."""
    speeds = saved.subject("identity").speeds
    judged = PairedLatencies(speeds.baseline_s, speeds.compiled_s, speeds.set_aside).judged()
    found = {each["name"]: each["stats"]["data"] for each in benchmarks(workspace.folder / "now.json")}
    assert found == {
        "baseline[mini-cpu-identity]": judged.baseline_s,
        "compiled[mini-cpu-identity]": judged.compiled_s,
    }


def test_report_of_the_record_writes_the_same_benchmarks(workspace: Workspace, saved: InnerRun) -> None:
    """`nearlossless report` gives the file that the run itself gave."""
    program = Path(sys.executable).parent / "nearlossless"
    later = workspace.folder / "later.json"
    subprocess.run([program, "report", saved.report / RECORD_FILE, "--benchmark-json", later], check=True)
    assert benchmarks(later) == benchmarks(workspace.folder / "now.json")


def test_second_run_is_compared_with_the_first(workspace: Workspace, saved: InnerRun) -> None:
    """`--benchmark-compare` finds the saved run, and gates tell the time left by the report in their folder."""
    (seconds,) = (verdict.seconds for verdict in saved.subject("identity").verdicts)
    assert seconds is not None
    told = duration(seconds)
    assert f"about {told} left" not in saved.output
    folder = workspace.folder / "compared"
    folder.mkdir()
    shutil.copy(saved.report / RECORD_FILE, folder)
    run = workspace.run(*FAST, "--benchmark-compare=0001", guarded=False, report=folder.name)
    assert run.code == 0, run.output
    assert f"speedup: gate 1 of 1, about {told} left by what they took before" in run.output
    rows = [line.split()[:2] for line in run.output.splitlines() if line.startswith("compiled[mini-cpu-identity]")]
    assert sorted(rows) == [["compiled[mini-cpu-identity]", source] for source in ("(0001_first)", "(NOW)")], run.output
    assert len(newest(workspace.folder / "from-ini", 10).entries) == 1


def test_progress_is_in_lines_of_its_own(saved: InnerRun) -> None:
    """Each line of progress has an end, so that a log shows it at once; pytest's dot does not stand behind the last."""
    told = [line for line in saved.output.splitlines() if line.startswith("    ")]
    assert any("pipeline" in line for line in told), saved.output
    assert not [line for line in told if line.endswith("%]")]
    assert re.search(r"^\. +\[100%\]$", saved.output, re.MULTILINE), saved.output


def test_nothing_is_kept_or_benchmarked_unasked(make_workspace: MakeWorkspace) -> None:
    """Without an option a run keeps nothing but its report, and prints no table of benchmarks."""
    workspace = make_workspace("unasked")
    workspace.add_case(case_toml())
    before = {path.name for path in workspace.folder.iterdir()}
    run = workspace.run("-k", "speedup", guarded=False)
    assert run.code == 0, run.output
    left = {path.name for path in workspace.folder.iterdir()} - before - {"__pycache__", "conftest.py", ".benchmarks"}
    assert left == {"report"}
    assert not list(workspace.folder.glob(".benchmarks/**/*.json"))  # pytest-benchmark makes its folder by itself
    assert "baseline[mini-cpu-identity]" not in run.output


def test_switched_off_benchmarks_are_pointed_at_the_record(workspace: Workspace, saved: InnerRun) -> None:
    """Where pytest-benchmark is off, as it is under xdist, it saves nothing, and the run says how to get the file."""
    options = ("--benchmark-disable", "--benchmark-json", "off.json")
    run = workspace.run(*FAST, *options, guarded=False, report="off")
    assert run.code == 0, run.output
    assert f"nearlossless report {run.report / RECORD_FILE} --benchmark-json" in run.output
    assert not (workspace.folder / "off.json").exists()


def test_history_that_cannot_be_written_is_a_usage_error(workspace: Workspace) -> None:
    """A folder that cannot be made is told before anything is measured."""
    (workspace.folder / "file").write_text("", encoding="utf-8")
    run = workspace.run(*FAST, "--history", "file/kept", guarded=False, report="unwritable")
    assert run.code == pytest.ExitCode.USAGE_ERROR, run.output
    assert "--history" in run.output
    assert not (run.report / RECORD_FILE).exists()


def test_history_lost_at_the_end_is_not_green(workspace: Workspace) -> None:
    """A record that could not be kept after all is told, and the run does not end with 0; its verdict stays."""
    (workspace.folder / "gate" / "conftest.py").write_text(
        "from pathlib import Path\n\n\ndef pytest_runtest_teardown():\n"
        "    folder = Path('lost')\n    if folder.is_dir():\n        folder.rmdir()\n        folder.touch()\n",
        encoding="utf-8",
    )
    run = workspace.run(*FAST, "--history", "lost", guarded=False, report="lost-report")
    (workspace.folder / "gate" / "conftest.py").unlink()
    assert run.code == EXIT_UNDECIDED, run.output
    assert "the record could not be kept" in run.output
    assert run.record.exit_status == EXIT_UNDECIDED
    assert run.verdict("speedup").outcome == Outcome.PASS
