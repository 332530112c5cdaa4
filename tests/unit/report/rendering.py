"""Shared by the tests of reports."""

from html.parser import HTMLParser

from nearlossless.record import Record
from nearlossless.report.console import render_console

EVIL = '<script>alert("x")</script><img src=x onerror=alert(1)>'


def plain_console(record: Record) -> str:
    """The console report without colours."""
    return render_console(record, width=100, colour=False)


def with_reason(record: Record, reason: str) -> Record:
    """The record with this reason in its first verdict."""
    record.subjects[0].verdicts[0].reason = reason
    return record


class Tags(HTMLParser):
    """Collects what a browser would take for tags and addresses."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[str] = []
        self.addresses: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep one tag."""
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]
        self.addresses += [value or "" for name, value in attrs if name in {"src", "href"}]
