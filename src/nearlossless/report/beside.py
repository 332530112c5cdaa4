"""Two records side by side: verdicts, figures, and what changed in between."""

from dataclasses import dataclass

from nearlossless.history.figures import FIGURES
from nearlossless.printable import printable
from nearlossless.record import Record
from nearlossless.record.subject import SubjectRecord
from nearlossless.report.console import render_cells
from nearlossless.report.notices import notices
from nearlossless.report.since import changes
from nearlossless.report.templating import inlined, template

BESIDE_HEADINGS = ("", "old", "new", "change")
UNCHANGED = "nothing that the records name changed in between"
_ABSENT = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """One subject in both records, or in one of them."""

    title: str
    rows: list[tuple[str, str, str, str]]  # a gate or a figure, old, new, change
    lines: list[str]  # what changed of stack, device settings, environment, commit, or why that cannot be told
    differs: bool  # whether a verdict is another, or one record lacks the subject


def beside(old: Record, new: Record) -> list[Beside]:
    """
    Every subject of either record, those whose verdicts differ first.

    Where each record has one subject, they are compared, whatever they are: two recipes of a case, or two devices.
    """
    if len(old.subjects) == len(new.subjects) == 1:
        a, b = old.subjects[0], new.subjects[0]
        return [_subject(a.title if a.title == b.title else f"{a.title} -> {b.title}", (old, new), a, b)]
    sides = [{subject.title: subject for subject in record.subjects} for record in (old, new)]
    found = [
        _subject(title, (old, new), sides[0].get(title), sides[1].get(title)) for title in {**sides[0], **sides[1]}
    ]
    return sorted(found, key=lambda each: not each.differs)


def _subject(
    title: str, records: tuple[Record, Record], old: SubjectRecord | None, new: SubjectRecord | None
) -> Beside:
    outcomes = [{} if subject is None else {v.gate: v.outcome for v in subject.verdicts} for subject in (old, new)]
    gates = list({**outcomes[0], **outcomes[1]})
    verdicts = [(f"{gate} gate", *(each.get(gate, _ABSENT) for each in outcomes)) for gate in gates]
    rows = [(gate, before, after, "" if before == after else "other") for gate, before, after in verdicts]
    rows += _figures(old, new)
    if old is None or new is None:
        lines = [f"only the {'old' if new is None else 'new'} record has it"]
    else:
        lines = changes(records[0], old, records[1], new) or [UNCHANGED]
    return Beside(title=title, rows=rows, lines=lines, differs=outcomes[0] != outcomes[1])


def _figures(old: SubjectRecord | None, new: SubjectRecord | None) -> list[tuple[str, str, str, str]]:
    rows = []
    for figure in FIGURES.values():
        before, after = (figure.read(subject) if subject is not None else None for subject in (old, new))
        if before is None and after is None:
            continue
        can_compare = before is not None and after is not None and figure.is_usable(before) and figure.is_usable(after)
        change = figure.change(before, after) if can_compare and before is not None and after is not None else _ABSENT
        rows.append((figure.name, figure.shown(before), figure.shown(after), change))
    return rows


def render_beside(old: Record, new: Record, *, colour: bool) -> str:
    """Both records as text: a table for each subject, then what changed."""
    parts = [f"old: {printable(old.started)}, new: {printable(new.started)}"]
    parts += [printable(f"{name}: {line}") for name, record in (("old", old), ("new", new)) for line in notices(record)]
    for each in beside(old, new):
        parts.append(render_cells(BESIDE_HEADINGS, each.rows, title=each.title, colour=colour))
        parts += [printable(line) for line in each.lines]
    return "\n".join(parts)


def render_beside_html(old: Record, new: Record) -> str:
    """Both records as one page."""
    page: str = template("beside.html.jinja").render(
        inlined=inlined(), old=old, new=new, notices=notices, subjects=beside(old, new), headings=BESIDE_HEADINGS
    )
    return page
