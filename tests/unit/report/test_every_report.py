"""What page, summary and terminal all show."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.report.rendering import plain_console

from nearlossless.record import Record
from nearlossless.record.quality import ParityRecord
from nearlossless.report import write_reports
from nearlossless.report.html import render_html
from nearlossless.report.markdown import render_markdown
from nearlossless.report.starts import start_rows

OUTCOMES = ("PASS", "REGRESSION", "INCONCLUSIVE", "NOT_COMPARABLE", "NOT_APPLICABLE")


@pytest.mark.parametrize("render", [render_html, render_markdown, plain_console])
@pytest.mark.parametrize("outcome", OUTCOMES)
def test_every_outcome_is_shown(full_record: Record, render: Callable[[Record], str], outcome: str) -> None:
    """Each kind of outcome stands in each report with its reason."""
    text = render(full_record)
    assert outcome in text
    assert f"reason of {outcome}" in text


@pytest.mark.parametrize("render", [render_html, render_markdown, plain_console])
def test_subject_is_named_with_its_hardware(full_record: Record, render: Callable[[Record], str]) -> None:
    """Each report names case, recipe, device and hardware."""
    text = render(full_record)
    assert "miniature / inductor / cpu" in text
    assert "cpu-avx2" in text


@pytest.mark.parametrize("render", [render_html, render_markdown, plain_console])
def test_bare_subject_can_be_shown(full_record: Record, render: Callable[[Record], str]) -> None:
    """A subject whose first measurement failed has no fingerprint, no figures and no pictures, and is shown."""
    subject = full_record.subjects[0]
    subject.fingerprint = subject.baseline_process = subject.cold_process = subject.warm_process = None
    subject.speeds = type(subject.speeds)()
    subject.pictures, subject.sizes, subject.parity = [], [], ParityRecord()
    assert "reason of REGRESSION" in render(full_record)


@pytest.mark.parametrize("render", [render_html, render_markdown, plain_console])
def test_empty_record_can_be_shown(full_record: Record, render: Callable[[Record], str]) -> None:
    """A record without subjects is no error."""
    full_record.subjects = []
    assert isinstance(render(full_record), str)


@pytest.mark.parametrize("render", [render_html, render_markdown, plain_console])
def test_each_start_is_told_apart(full_record: Record, render: Callable[[Record], str]) -> None:
    """Every report has load, first call and steady call of each process, and its cache lookups where counted."""
    rows = start_rows(full_record.subjects[0])
    assert [row[0] for row in rows] == ["baseline", "cold", "warm", "artifact"]
    assert rows[2] == ("warm", "1.00 s", "2.00 s", "0.50 s", "7 hits, 0 misses, 2 bypasses", "-")
    text = render(full_record)
    assert "7 hits" in text
    assert "1.50 s" in text


def test_reports_are_written_beside_each_other(full_record: Record, tmp_path: Path) -> None:
    """A report folder holds summary and page."""
    write_reports(full_record, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"summary.md", "report.html"}
