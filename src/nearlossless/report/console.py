"""The summary at the end of a run on the terminal; colours respect NO_COLOR and plain logs."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nearlossless.printable import printable
from nearlossless.record import Record
from nearlossless.record.subject import SubjectRecord
from nearlossless.report.notices import notices, part_of_a_run
from nearlossless.report.published import Published, labels, published
from nearlossless.report.stacks import STACK_HEADINGS, stack_lines, stack_rows
from nearlossless.report.starts import START_HEADINGS, start_rows
from nearlossless.report.table import HEADINGS, Row, performance_rows
from nearlossless.verdicts import Outcome

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_STYLES = {
    Outcome.PASS: "bold green",
    Outcome.WAIVED: "bold magenta",
    Outcome.REGRESSION: "bold red",
    Outcome.INCONCLUSIVE: "bold yellow",
    Outcome.NOT_COMPARABLE: "bold yellow",
    Outcome.NOT_APPLICABLE: "dim",
}
PLAIN_WIDTH, WIDEST = 100, 200


def render_console(record: Record, *, width: int, colour: bool) -> str:
    """The tables and verdict lines of a record as text, with ANSI colours if wanted."""
    console = console_of(width=width, colour=colour)
    with console.capture() as captured:
        _print_notices(console, record)
        for subject in record.subjects:
            _print_subject(console, subject)
    return captured.get()


def console_of(*, colour: bool, width: int = PLAIN_WIDTH) -> "Console":
    """A terminal that is written into a text, with ANSI colours if wanted and not refused by NO_COLOR."""
    from rich.console import Console

    colour = colour and not os.environ.get("NO_COLOR")
    return Console(width=width, force_terminal=colour, no_color=not colour, highlight=False, legacy_windows=False)


def render_table(rows: list[Row], *, title: str, colour: bool) -> str:
    """One performance table as text."""
    return render_cells(HEADINGS, [row.cells() for row in rows], title=title, colour=colour)


def render_cells(headings: Sequence[str], rows: Sequence[Sequence[str]], *, title: str, colour: bool) -> str:
    """Any table as text, as wide as it needs to be."""
    console = console_of(width=WIDEST, colour=colour)
    with console.capture() as captured:
        console.print(_table(headings, rows, title))
    return "\n".join(line.rstrip() for line in captured.get().splitlines()).strip("\n")


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]], title: str) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(printable(title)) if title else None, title_justify="left")
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="left" if number == 0 else "right")
    for cells in rows:
        table.add_row(*(Text(printable(cell)) for cell in cells))
    return table


def _published_table(columns: list[Published]) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(title="published", title_justify="left")
    table.add_column("")
    for column in columns:
        table.add_column(Text(printable(column.title)), justify="right")
    for label in labels(columns):
        table.add_row(label, *(column.cell(label) for column in columns))
    return table


def _print_notices(console: "Console", record: Record) -> None:
    from rich.text import Text

    if part := part_of_a_run(record):
        console.print(Text(part), soft_wrap=True)
    for notice in notices(record):
        console.print(Text(printable(f"INCOMPLETE     {notice}"), style="bold red"), soft_wrap=True)


def _print_subject(console: "Console", subject: SubjectRecord) -> None:
    from rich.text import Text

    hardware = subject.fingerprint.picture.hardware if subject.fingerprint else subject.device
    title = f"{subject.title} ({hardware})"
    rows = [row for row in performance_rows(subject) if row.is_measured]
    console.print(Text(printable(title), style="italic"), soft_wrap=True)  # a table would break it at its own width
    if rows:
        console.print(_table(HEADINGS, [row.cells() for row in rows], ""))
    if starts := start_rows(subject):
        console.print(_table(START_HEADINGS, starts, "starts"))
    if columns := published(subject):
        console.print(_published_table(columns))
        for source in dict.fromkeys(column.reference.source for column in columns):
            console.print(Text(f"source: {printable(source)}"), soft_wrap=True)
    if subject.stacks is not None:
        console.print(_table(STACK_HEADINGS, [row.cells() for row in stack_rows(subject.stacks)], ""))
        for told in stack_lines(subject.stacks):
            console.print(Text(printable(told)), soft_wrap=True)
    for verdict in subject.verdicts:
        line = Text(f"{verdict.outcome:<14} ", style=_STYLES[verdict.outcome])
        line.append(printable(f"{verdict.gate}: {verdict.reason}").replace("\n", "\n" + " " * 15), style="default")
        console.print(line, soft_wrap=True)
    for waiver in subject.unneeded_waivers:
        console.print(Text(printable(waiver.not_needed)), soft_wrap=True)
    console.print()


def print_summary(record: Record, terminalreporter: Any) -> None:
    """Write the summary through pytest's terminal."""
    terminal = terminalreporter._tw
    colour = bool(terminal.hasmarkup)
    width = terminal.fullwidth if colour else max(PLAIN_WIDTH, terminal.fullwidth)
    terminalreporter.write(render_console(record, width=width, colour=colour), flush=True)
