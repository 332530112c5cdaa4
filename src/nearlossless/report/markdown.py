"""`summary.md`: for a job summary or a pull-request comment."""

from nearlossless.printable import printable
from nearlossless.record import Record
from nearlossless.record.subject import SubjectRecord
from nearlossless.report.noise import FLOOR_HEADINGS, floor_rows
from nearlossless.report.notices import notices, part_of_a_run
from nearlossless.report.published import labels, published
from nearlossless.report.shapes import SHAPE_HEADINGS, shape_rows
from nearlossless.report.stacks import STACK_HEADINGS, stack_lines, stack_rows
from nearlossless.report.starts import START_HEADINGS, start_rows
from nearlossless.report.table import HEADINGS, performance_rows
from nearlossless.report.verdict_list import Listed, listed, tally

_SIGNS = {
    "PASS": "🟢",
    "REGRESSION": "🔴",
    "INCONCLUSIVE": "🟡",
    "NOT_COMPARABLE": "🟡",
    "WAIVED": "🟣",
    "NOT_APPLICABLE": "⚪",
}
LONGEST_REASON = 600
LONGEST_SUMMARY = 60_000  # characters: a comment of GitHub's takes 65,536
LONGEST_TABLE = 40_000  # of the verdicts, so that some tables of figures are left
MOST_NOTICES = 20
_ROOM = 100  # for the sentence that says what was left out


def _cell(text: str) -> str:
    """Text that stays inside its table cell and is no markup."""
    text = printable(text.replace("\r\n", "\n"))
    for mark, escaped in (
        ("\\", "\\\\"),
        ("|", "\\|"),
        ("<", "&lt;"),
        (">", "&gt;"),
        ("`", "\\`"),
        ("[", "\\["),
        ("]", "\\]"),
        ("!", "\\!"),
        ("*", "\\*"),
        ("@", "&#64;"),
        ("\n", "<br>"),
    ):
        text = text.replace(mark, escaped)
    return text if len(text) <= LONGEST_REASON else text[: LONGEST_REASON - 1] + "…"


def _row(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(_cell(cell) for cell in cells) + " |"


def _verdicts(verdicts: list[Listed]) -> str:
    """All verdicts as a table, the reddest first, as far as there is room; the rest are counted."""
    lines, length = ["| verdict | gate | of | reason |", "| --- | --- | --- | --- |"], 0
    for number, verdict in enumerate(verdicts):
        row = _row((f"{_SIGNS[verdict.outcome]} {verdict.outcome}", verdict.gate, verdict.title, verdict.reason))
        length += len(row) + 1
        if length > LONGEST_TABLE:
            rest = ", ".join(f"{count} {outcome}" for outcome, count in tally(verdicts[number:]))
            return "\n".join([*lines, "", f"and further {rest}: see report.html", ""])
        lines.append(row)
    return "\n".join([*lines, ""])


def _subject(subject: SubjectRecord) -> str:
    hardware = subject.fingerprint.picture.hardware if subject.fingerprint else subject.device
    lines = [f"## {_cell(subject.title)} ({_cell(hardware)})"]
    for waiver in subject.unneeded_waivers:
        lines += ["", _cell(waiver.not_needed)]
    rows = [_row(row.cells()) for row in performance_rows(subject) if row.is_measured]
    lines += ["", _row(HEADINGS), "| --- | ---: | ---: | ---: |", *rows] if rows else []
    parts = (*_starts(subject), *_shapes(subject), *_stacks(subject), *_noise(subject), *_published(subject))
    return "\n".join([*lines, "", *parts])


def _stacks(subject: SubjectRecord) -> list[str]:
    if subject.stacks is None:
        return []
    lines = [_row(STACK_HEADINGS), "| --- | ---: | ---: | ---: |"]
    lines += [_row(row.cells()) for row in stack_rows(subject.stacks)]
    return [*lines, "", *(f"- {_cell(line)}" for line in stack_lines(subject.stacks)), ""]


def _starts(subject: SubjectRecord) -> list[str]:
    rows = start_rows(subject)
    if not rows:
        return []
    return [_row(START_HEADINGS), "| --- |" + " ---: |" * (len(START_HEADINGS) - 1), *map(_row, rows), ""]


def _shapes(subject: SubjectRecord) -> list[str]:
    rows = shape_rows(subject)
    if not rows:
        return []
    return [_row(SHAPE_HEADINGS), "| --- |" + " ---: |" * (len(SHAPE_HEADINGS) - 1), *map(_row, rows), ""]


def _noise(subject: SubjectRecord) -> list[str]:
    rows = floor_rows(subject)
    if not rows:
        return []
    return [_row(FLOOR_HEADINGS), "| --- |" + " ---: |" * (len(FLOOR_HEADINGS) - 1), *map(_row, rows), ""]


def _published(subject: SubjectRecord) -> list[str]:
    columns = published(subject)
    if not columns:
        return []
    lines = [_row(("", *(column.title for column in columns))), "| --- |" + " ---: |" * len(columns)]
    lines += [_row((label, *(column.cell(label) for column in columns))) for label in labels(columns)]
    sources = [f"- {_cell(column.title)}: {_cell(column.explanation)}" for column in columns]
    return [*lines, "", *sources, ""]


def render_markdown(record: Record) -> str:
    """
    The record in brief: all verdicts, the reddest first, then the tables of each subject.

    Of a large record no more than `LONGEST_SUMMARY` characters; what is left out is said.
    """
    verdicts = listed(record)
    counts = ", ".join(f"{count} {outcome}" for outcome, count in tally(verdicts)) or "no verdict"
    part = part_of_a_run(record)
    started = f"{_cell(record.started)}, nearlossless {_cell(record.nearlossless_version)}{', ' if part else ''}{part}"
    told = notices(record)
    more = [f"{len(told) - MOST_NOTICES} more: see report.html"] if len(told) > MOST_NOTICES else []
    noticed = "".join(f"🔴 {_cell(notice)}\n\n" for notice in (*told[:MOST_NOTICES], *more))
    parts = ["# nearlossless", f"{noticed}{counts}\n\n{started}\n", _verdicts(verdicts)]
    length = sum(map(len, parts)) + len(parts)
    for number, subject in enumerate(record.subjects):
        part = _subject(subject)
        length += len(part) + 1
        if length > LONGEST_SUMMARY - _ROOM:
            return "\n".join([*parts, f"Tables of {len(record.subjects) - number} more in report.html."])
        parts.append(part)
    return "\n".join(parts)
