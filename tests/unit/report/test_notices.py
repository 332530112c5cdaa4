"""What makes a run red beside its verdicts is told wherever they are."""

from pathlib import Path

import pytest

from nearlossless.record import Record
from nearlossless.record.shard import Shard
from nearlossless.report.beside import render_beside, render_beside_html
from nearlossless.report.console import render_console
from nearlossless.report.html import render_html
from nearlossless.report.markdown import MOST_NOTICES, render_markdown


def test_what_a_merged_record_lacks_stands_first(full_record: Record, tmp_path: Path) -> None:
    """A missing shard is red in page and summary, whatever the other shards say."""
    record = full_record.model_copy(update={"lacks": ["shard 2/3 is <missing>"]})
    assert "shard 2/3 is &lt;missing&gt;" in render_html(record, tmp_path)
    assert render_markdown(record).splitlines()[1] == "🔴 shard 2/3 is &lt;missing&gt;"
    assert render_console(record, width=100, colour=False).startswith("INCOMPLETE     shard 2/3 is <missing>\n")
    assert "new: shard 2/3 is <missing>" in render_beside(full_record, record, colour=False)
    assert "new: shard 2/3 is &lt;missing&gt;" in render_beside_html(full_record, record)


@pytest.mark.parametrize(("status", "said"), [(1, False), (2, True), (None, False)])
def test_exit_code_that_no_verdict_explains_is_told(full_record: Record, status: int | None, said: bool) -> None:
    """A run that broke off, or in which something beside the verdicts failed, does not look like a whole one."""
    full_record.exit_status = status  # its verdicts alone give 1
    told = ("ended with exit code 2", "by its verdicts alone 1")
    for text in (
        render_html(full_record),
        render_markdown(full_record),
        render_console(full_record, width=100, colour=False),
    ):
        assert all(part in text for part in told) is said


def test_shard_does_not_look_like_the_whole_run(full_record: Record) -> None:
    """Page, summary and terminal say of one shard's record that it is a part."""
    record = full_record.model_copy(update={"shard": Shard(number=1, of=3)})
    for text in (render_html(record), render_markdown(record), render_console(record, width=100, colour=False)):
        assert "shard 1/3: only a part of the run" in text


@pytest.mark.parametrize(("count", "said"), [(MOST_NOTICES, False), (MOST_NOTICES + 1, True)])
def test_summary_counts_what_else_is_missing(full_record: Record, count: int, said: bool) -> None:
    """Of a thousand missing shards a summary names a few and counts the others, so that it keeps its length."""
    text = render_markdown(full_record.model_copy(update={"lacks": ["shard"] * count}))
    assert text.count("🔴 shard") == MOST_NOTICES
    assert ("🔴 1 more" in text) is said
