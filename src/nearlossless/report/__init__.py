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
) -> list[str]:
    """
    Write `summary.md` and `report.html`.

    Args:
        record: What was measured.
        folder: Where they are written.
        pictures: The record's own folder, if it is another one.
        history: Folder of kept records, for what changed since the last green run.
        baselines: Folder of cases, whose accepted records stand in where the history has no green run.

    Returns:
        What of the history could not be read, each with its reason; the reports do without it.

    Raises:
        OSError: They cannot be written.
    """
    from nearlossless.report.html import Known, render_html
    from nearlossless.report.markdown import render_markdown

    entries, left_out = _looking_back(record, history) if history is not None else ([], [])
    write_text(folder / SUMMARY_FILE, render_markdown(record))
    write_text(folder / PAGE_FILE, render_html(record, pictures or folder, Known(history=entries, baselines=baselines)))
    return left_out


def _looking_back(record: Record, history: Path) -> "tuple[list[Entry], list[str]]":
    """The newest kept runs and, last, this one, if it is not kept yet; and what could not be read."""
    from nearlossless.history.store import Entry, newest

    try:
        loaded = newest(history, KEPT_RUNS)
    except FileNotFoundError:  # the first run is yet to be kept
        return [], []
    except OSError as error:
        return [], [f"{history}: cannot be read ({error.strerror})"]
    if any(entry.record.started == record.started for entry in loaded.entries):
        return loaded.entries, loaded.skipped
    this = Entry(name="this run", started=datetime.fromisoformat(record.started), record=record)
    return [*loaded.entries, this], loaded.skipped


def write_beside(old: Record, new: Record, folder: Path) -> Path:
    """Write `beside.html`, two records side by side, and return its path."""
    from nearlossless.report.beside import render_beside_html

    path = folder / "beside.html"
    write_text(path, render_beside_html(old, new))
    return path
