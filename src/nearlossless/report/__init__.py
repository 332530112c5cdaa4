"""Reports of a record: console, Markdown, HTML."""

from pathlib import Path

from nearlossless.atomic import write_text
from nearlossless.record import Record


def write_reports(record: Record, folder: Path) -> None:
    """Write `summary.md` and `report.html` beside the record and its pictures."""
    from nearlossless.report.html import render_html
    from nearlossless.report.markdown import render_markdown

    write_text(folder / "summary.md", render_markdown(record))
    write_text(folder / "report.html", render_html(record))
