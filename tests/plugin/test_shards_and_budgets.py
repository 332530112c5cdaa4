"""Parts of a run: shards over hosts and back together, budgets, and folders that two runs want."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock
from tests.plugin.inner import InnerRun, Workspace, tree

from nearlossless.history.needs import BUDGET_ENDED
from nearlossless.record import RECORD_FILE, read_record
from nearlossless.runs.run import LOCK
from nearlossless.verdicts import EXIT_UNDECIDED, Outcome

pytestmark = pytest.mark.slow

CASES = ("a", "b", "c")
# Puts a folder where the record is to go, once the run has begun.
SPOILER = f"""
def pytest_runtest_setup(item):
    (item.config.getoption("report_dir") / "{RECORD_FILE}").mkdir(exist_ok=True)
"""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Three cases with quick gates."""
    return Workspace.create_quick(tmp_path_factory.mktemp("parts") / "quick", *CASES)


@pytest.fixture(scope="module")
def shards(workspace: Workspace) -> list[InnerRun]:
    """Both shards of a run."""
    return [workspace.run("--shard", f"{number}/2", report=f"shard-{number}") for number in (1, 2)]


def merge(workspace: Workspace, *runs: InnerRun, into: str) -> "subprocess.CompletedProcess[str]":
    """Put records together with the installed console script."""
    program = Path(sys.executable).parent / "nearlossless"
    return subprocess.run(
        [program, "merge", *(run.report for run in runs), "--report-dir", workspace.folder / into],
        env=workspace.environment(),
        capture_output=True,
        text=True,
        check=False,
    )


def test_shards_split_the_cases(shards: list[InnerRun]) -> None:
    """Cases go round, each to one shard, and the record says which shard it is."""
    assert [run.code for run in shards] == [0, 0], shards[0].output
    assert [[subject.case for subject in run.record.subjects] for run in shards] == [["a", "c"], ["b"]]
    assert [str(run.record.shard) for run in shards] == ["1/2", "2/2"]


def test_merged_shards_are_the_whole_run(workspace: Workspace, shards: list[InnerRun]) -> None:
    """Merging gives the subjects of one run without shards."""
    done = merge(workspace, *reversed(shards), into="merged")
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    merged = read_record(workspace.folder / "merged" / RECORD_FILE)
    assert [subject.case for subject in merged.subjects] == list(CASES)
    assert {verdict.outcome for subject in merged.subjects for verdict in subject.verdicts} == {Outcome.PASS}


def test_missing_shard_is_red(workspace: Workspace, shards: list[InnerRun]) -> None:
    """Without one of the shards merging does not end with 0."""
    done = merge(workspace, shards[0], into="half")
    assert done.returncode == EXIT_UNDECIDED
    assert "shard 2/2 is missing" in done.stderr


@pytest.mark.parametrize(
    ("shard", "told"), [("0/2", "K/N"), ("3/2", "K/N"), ("1", "K/N"), ("1/4", "too few for 4 shards")]
)
def test_shard_that_cannot_be_is_a_usage_error(workspace: Workspace, shard: str, told: str) -> None:
    """No such shard, or one without a case."""
    run = workspace.run("--shard", shard, report="refused")
    assert run.code == pytest.ExitCode.USAGE_ERROR, run.output
    assert told in run.output


def test_budget_that_ended_is_inconclusive(workspace: Workspace) -> None:
    """Gates that the budget does not reach have a verdict that says so, and the run is not green."""
    run = workspace.run("--case", "a", "--budget", "0.000001", report="ended")
    assert run.code == EXIT_UNDECIDED, run.output
    (subject,) = run.record.subjects
    assert [(v.gate, v.outcome) for v in subject.verdicts] == [
        (gate, Outcome.INCONCLUSIVE) for gate in ("memory", "quality", "speedup")
    ]
    assert f"{BUDGET_ENDED}: --budget 1e-06" in subject.verdicts[0].reason


def test_tier_has_its_minutes_from_the_ini_file(workspace: Workspace) -> None:
    """A tier of the project's own ends when its minutes are spent; one that suffices is green."""
    tiers = ("-o", "nearlossless_tiers=short = 0.000001\nlong = 60")
    short = workspace.run("--case", "a", "--tier", "short", *tiers, report="short")
    assert short.code == EXIT_UNDECIDED, short.output
    assert "tier 'short'" in short.record.subjects[0].verdicts[0].reason
    assert workspace.run("--case", "a", "--tier", "long", *tiers, report="long").code == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--budget", "0"), "must be above zero"),
        (("--budget", "nan"), "must be above zero"),
        (("--budget", "5", "--tier", "pr"), "give one of them"),
        (("--cpu-shares", "2"), "give their number, too"),
        (("--tier", "pr", "-o", "nearlossless_tiers=pr = soon"), "must be NAME = MINUTES"),
    ],
)
def test_option_without_sense_is_a_usage_error(workspace: Workspace, arguments: tuple[str, ...], told: str) -> None:
    """Minutes that are no number or given twice, and shares for workers that there are not."""
    run = workspace.run(*arguments, report="refused")
    assert run.code == pytest.ExitCode.USAGE_ERROR, run.output
    assert told in run.output


def test_budget_is_spent_where_evidence_is_missing(tmp_path: Path) -> None:
    """Gates never judged here come first, also where the history is only read; a damaged record takes nothing away."""
    workspace = Workspace.create_quick(tmp_path / "needs", "a", "b")
    known = workspace.run("--case", "a", "-k", "memory or speedup", "--history", "kept")
    assert known.code == 0, known.output
    damaged = f"20260101T000000Z-{0:032x}.json"
    (workspace.folder / "kept" / damaged).write_text('{"schema_version": 1, "subj', encoding="utf-8")
    (workspace.folder / "ran.jsonl").unlink()
    before = tree(workspace.folder / "kept")
    run = workspace.run("--budget", "60", "--history", "kept", "--history-read-only", report="second")
    assert run.code == 0, run.output
    assert damaged in run.output
    assert tree(workspace.folder / "kept") == before
    assert [(each["subject"][0], each["gate"]) for each in workspace.ran] == [
        ("a", "quality"),
        ("b", "memory"),
        ("b", "quality"),
        ("b", "speedup"),
        ("a", "memory"),
        ("a", "speedup"),
    ]


def test_two_runs_never_share_a_report_folder(workspace: Workspace, shards: list[InnerRun]) -> None:
    """A run whose folder another one is writing into ends before it touches anything."""
    report = shards[0].report
    before = (report / RECORD_FILE).read_bytes()
    with FileLock(report / LOCK):
        run = workspace.run("--case", "b", report=report.name)
    assert run.code == pytest.ExitCode.USAGE_ERROR, run.output
    assert "another run writes into it" in run.output
    assert (report / RECORD_FILE).read_bytes() == before


def test_report_that_cannot_be_written_at_the_end_loses_nothing(workspace: Workspace) -> None:
    """The record is put elsewhere, the run says where, and it is not green."""
    (workspace.folder / "spoiler.py").write_text(SPOILER, encoding="utf-8")
    run = workspace.run("--case", "a", "-p", "spoiler", report="spoilt")
    assert run.code == EXIT_UNDECIDED, run.output
    (told,) = [line for line in run.output.splitlines() if "cannot be written any more" in line]
    saved = Path(told.partition("what was measured is in ")[2].partition(": ")[0])
    try:
        assert [len(subject.verdicts) for subject in read_record(saved).subjects] == [3]
    finally:
        shutil.rmtree(saved.parent)
