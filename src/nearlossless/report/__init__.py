"""Reports of a record: console, Markdown, HTML."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from nearlossless.atomic import write_text
from nearlossless.record import Record

if TYPE_CHECKING:
    from nearlossless.history.store import Entry

SUMMARY_FILE, PAGE_FILE = "summary.md", "report.html"
KEPT_RUNS = 60  # of a history, that a page looks back on


def write_reports(
    record: Record,
    folder: Path,
    *,
    pictures: Path | None = None,
    history: Path | None = None,
    baselines: Path | None = None,
) -> None:
    """
    Write `summary.md` and `report.html`.

    Args:
        record: What was measured.
        folder: Where they are written.
        pictures: The record's own folder, if it is another one.
        history: Folder of kept records, for what changed since the last green run; one that cannot be read is none.
        baselines: Folder of cases, whose accepted records stand in where the history has no green run.
    """
    from nearlossless.report.html import Known, render_html
    from nearlossless.report.markdown import render_markdown

    entries = _looking_back(record, history) if history is not None else []
    write_text(folder / SUMMARY_FILE, render_markdown(record))
    write_text(folder / PAGE_FILE, render_html(record, pictures or folder, Known(history=entries, baselines=baselines)))


def _looking_back(record: Record, history: Path) -> "list[Entry]":
    """The newest kept runs and, last, this one, if it is not kept yet."""
    from nearlossless.history.store import Entry, newest

    try:
        entries = newest(history, KEPT_RUNS).entries
        started = datetime.fromisoformat(record.started)
    except (OSError, ValueError):
        return []
    if all(entry.record.started != record.started for entry in entries):
        entries.append(Entry(name="this run", started=started, record=record))
    return entries


def write_beside(old: Record, new: Record, folder: Path) -> Path:
    """Write `beside.html`, two records side by side, and return its path."""
    from nearlossless.report.beside import render_beside_html

    path = folder / "beside.html"
    write_text(path, render_beside_html(old, new))
    return path
