"""`summary.md`: for a job summary or a pull-request comment."""

from nearlossless.record import Record
from nearlossless.record.subject import SubjectRecord
from nearlossless.report.noise import FLOOR_HEADINGS, floor_rows
from nearlossless.report.published import labels, published
from nearlossless.report.shapes import SHAPE_HEADINGS, shape_rows
from nearlossless.report.stacks import STACK_HEADINGS, stack_lines, stack_rows
from nearlossless.report.starts import START_HEADINGS, start_rows
from nearlossless.report.table import HEADINGS, performance_rows

_SIGNS = {
    "PASS": "🟢",
    "REGRESSION": "🔴",
    "INCONCLUSIVE": "🟡",
    "NOT_COMPARABLE": "🟡",
    "WAIVED": "🟣",
    "NOT_APPLICABLE": "⚪",
}
LONGEST_REASON = 600


def _cell(text: str) -> str:
    """Text that stays inside its table cell and is no markup."""
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
        ("\r", " "),
        ("\n", "<br>"),
    ):
        text = text.replace(mark, escaped)
    return text if len(text) <= LONGEST_REASON else text[: LONGEST_REASON - 1] + "…"


def _row(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(_cell(cell) for cell in cells) + " |"


def _subject(subject: SubjectRecord) -> list[str]:
    hardware = subject.fingerprint.picture.hardware if subject.fingerprint else subject.device
    lines = [f"## {_cell(subject.title)} ({_cell(hardware)})", "", "| verdict | gate | reason |", "| --- | --- | --- |"]
    lines += [
        _row((f"{_SIGNS[verdict.outcome]} {verdict.outcome}", verdict.gate, verdict.reason))
        for verdict in subject.verdicts
    ]
    for waiver in subject.unneeded_waivers:
        lines += ["", _cell(waiver.not_needed)]
    lines += ["", _row(HEADINGS), "| --- | ---: | ---: | ---: |"]
    lines += [_row(row.cells()) for row in performance_rows(subject) if row.is_measured]
    return [*lines, "", *_starts(subject), *_shapes(subject), *_stacks(subject), *_noise(subject), *_published(subject)]


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
    """The whole record in brief: verdicts first, then the table, for each subject."""
    lines = ["# nearlossless", "", f"{record.started}, nearlossless {record.nearlossless_version}", ""]
    for subject in record.subjects:
        lines += _subject(subject)
    return "\n".join(lines)
