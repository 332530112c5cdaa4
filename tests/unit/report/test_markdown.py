"""The summary for a job's page or a pull request."""

import re

import pytest
from tests.unit.report.rendering import EVIL, with_reason

from nearlossless.record import Record
from nearlossless.record.shapes import SizeRecord
from nearlossless.report.markdown import render_markdown


@pytest.mark.parametrize(
    "evil",
    [EVIL, "a | b | c", "line\nbreak", "carriage\rreturn", "`code", "back\\slash", "</td></tr></table>"],
    ids=["markup", "pipe", "newline", "return", "backtick", "backslash", "table"],
)
def test_markdown_keeps_text_in_its_cell(full_record: Record, evil: str) -> None:
    """Whatever a reason says, it stays one cell of one row, and no tag of it is left."""
    text = render_markdown(with_reason(full_record, evil))
    row = next(line for line in re.split(r"[\r\n]", text) if line.startswith("| 🟢 PASS | speedup"))
    assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", row)) == 5
    assert row.endswith(" |")
    assert not re.search(r"<(?!br>)[a-z/]", text)


def test_markdown_escapes_titles(full_record: Record) -> None:
    """A recipe that is called like a tag is text in the heading, too."""
    full_record.subjects[0].recipe = EVIL
    assert not re.search(r"<[a-z/]", render_markdown(full_record))


def test_markdown_has_no_empty_table(full_record: Record) -> None:
    """A run of the quality gate alone measures no performance: its summary has no table of it."""
    heading = "|  | baseline | compiled | change |"
    assert heading in render_markdown(full_record)
    subject = full_record.subjects[0]
    subject.baseline_process = subject.cold_process = subject.warm_process = None
    subject.speeds = type(subject.speeds)()
    assert heading not in render_markdown(full_record)


def test_markdown_cuts_endless_reasons(full_record: Record) -> None:
    """A reason of many thousand characters leaves a table that can be read."""
    text = render_markdown(with_reason(full_record, "x" * 50_000))
    assert len(text) < 5_000
    assert "…" in text


def test_summary_has_latencies_by_size(full_record: Record) -> None:
    """Each call of the shapes gate is a row with its pixels, both medians and their ratio, the smallest first."""
    small = SizeRecord(height=64, width=64, variation="3 steps", compiles=0, latency_s=0.1, compiled_s=[0.1])
    large = SizeRecord(height=1000, width=1000, compiles=1, latency_s=2.0, baseline_s=[3.0, 3.0, 9.0], compiled_s=[2.0])
    full_record.subjects[0].sizes = [large, small]
    rows = [line for line in render_markdown(full_record).splitlines() if line.startswith(("| 64x64", "| 1000x1000"))]
    assert rows == [
        "| 64x64, 3 steps | 0.004 | - | 0.100 s | - | 0 |",
        "| 1000x1000 | 1.000 | 3.000 s | 2.000 s | 1.50x | 1 |",
    ]
