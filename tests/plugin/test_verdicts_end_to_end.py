"""A green run through all five gates, and how expected pictures come to be."""

from pathlib import Path

import pytest
from PIL import Image
from tests.plugin.inner import Approval, InnerRun

from nearlossless.fields import GATES
from nearlossless.verdicts import EXIT_UNDECIDED, Outcome

pytestmark = pytest.mark.slow

ROWS = ("Iteration speed", "End-to-end time", "Peak memory", "First call", "Cold start", "Warm start")


@pytest.fixture(scope="module")
def green(approval: Approval) -> InnerRun:
    """All five gates on the identity backend, with the expected pictures that were approved."""
    return approval.workspace.run(report="green")


def test_candidates_are_no_success(approval: Approval) -> None:
    """A run with --update-baselines ends with the exit code of missing evidence."""
    assert approval.run.code == EXIT_UNDECIDED, approval.run.output


def test_candidates_are_not_comparable(approval: Approval) -> None:
    """A run with --update-baselines verifies nothing, and its quality verdict says so."""
    verdict = approval.run.verdict("quality")
    assert (verdict.outcome, "nothing was verified" in verdict.reason) == (Outcome.NOT_COMPARABLE, True)


def test_candidates_leave_baselines_alone(approval: Approval) -> None:
    """A run with --update-baselines writes nothing under baselines/."""
    assert approval.after == approval.before


def test_candidates_lie_in_the_report_folder(approval: Approval) -> None:
    """A run with --update-baselines writes one picture and one sidecar per request into the report folder."""
    files = [Path(name) for name in approval.candidates]
    assert [(file.parts[0], file.suffix) for file in files] == [("mini", ".json"), ("mini", ".png")]


def test_candidates_are_announced(approval: Approval) -> None:
    """The terminal says how candidates are taken over."""
    assert "nearlossless approve" in approval.run.output


def test_run_tells_what_each_candidate_would_change(approval: Approval) -> None:
    """Where nothing is stored yet, every candidate is told as new, by its name."""
    names = {Path(name).stem for name in approval.candidates}
    assert names
    assert all(f"{name}: new" in approval.run.output for name in names)


def test_approve_takes_candidates_over(approval: Approval) -> None:
    """Approving writes the candidate under the case's hardware folder, byte for byte."""
    assert approval.approve_code == 0, approval.approve_output
    ((name, content),) = [(name, content) for name, content in approval.candidates.items() if name.endswith(".png")]
    assert (approval.workspace.baselines / name).read_bytes() == content


def test_approve_keeps_the_reason(approval: Approval) -> None:
    """The reason given to approve stands in the sidecar."""
    (sidecar,) = approval.expected.rglob("*.json")
    assert '"drawn by hand and looked at"' in sidecar.read_text(encoding="utf-8")


def test_green_run_exits_with_zero(green: InnerRun) -> None:
    """A run in which all five gates pass ends with exit code 0."""
    assert green.code == 0, green.output


@pytest.mark.parametrize("gate", GATES)
def test_green_run_passes_every_gate(green: InnerRun, gate: str) -> None:
    """Every gate of a green run has a PASS verdict in the record."""
    verdict = green.verdict(gate)
    assert verdict.outcome == Outcome.PASS, verdict.reason


@pytest.mark.parametrize("gate", GATES)
def test_green_run_records_figures(green: InnerRun, gate: str) -> None:
    """A PASS rests on at least one figure that was held against a threshold."""
    assert any(c.obtained is not None and c.threshold is not None for c in green.verdict(gate).checks)


@pytest.mark.parametrize("name", ["record.json", "summary.md", "report.html"])
def test_green_run_writes_reports(green: InnerRun, name: str) -> None:
    """A run writes its record and both reports."""
    assert (green.report / name).stat().st_size > 0


def test_green_run_records_raw_pairs(green: InnerRun) -> None:
    """The record holds every latency of both pipelines, as many of the one as of the other."""
    speeds = green.subject("identity").speeds
    assert len(speeds.baseline_s) == len(speeds.compiled_s) >= 3


def test_green_run_records_processes(green: InnerRun) -> None:
    """The record holds the baseline's, the cold and the warm process."""
    subject = green.subject("identity")
    assert None not in (subject.baseline_process, subject.cold_process, subject.warm_process)


def test_green_run_records_fingerprint(green: InnerRun) -> None:
    """The record says on what and with which versions it was measured."""
    fingerprint = green.subject("identity").fingerprint
    assert fingerprint is not None
    assert "torch" in fingerprint.stack


def test_green_run_keeps_pictures(green: InnerRun) -> None:
    """Expected, baseline and obtained picture lie in the report folder at the paths of the record."""
    (picture,) = green.subject("identity").pictures
    names = [picture.expected_file, picture.baseline_file, picture.obtained_file]
    assert [Image.open(green.report / str(name)).size for name in names] == [(64, 64)] * 3


def test_green_run_leaves_baselines_alone(approval: Approval, green: InnerRun) -> None:
    """A run without --update-baselines writes no candidates either."""
    assert not (green.report / "candidates").exists()


@pytest.mark.parametrize("row", ROWS)
def test_green_run_prints_the_table(green: InnerRun, row: str) -> None:
    """The terminal shows every row of the performance table."""
    assert f"│ {row} " in green.output


@pytest.mark.parametrize("gate", GATES)
def test_green_run_prints_verdicts(green: InnerRun, gate: str) -> None:
    """The terminal shows one line for every verdict."""
    assert sum(line.startswith(f"PASS           {gate}: ") for line in green.output.splitlines()) == 1


def test_pictures_are_compared_with_the_stored_ones(green: InnerRun) -> None:
    """The unchanged baseline draws the stored picture again."""
    (picture,) = green.subject("identity").pictures
    assert picture.stored is not None
    assert picture.stored.worst_tile_ssim == pytest.approx(1.0, abs=1e-6)
