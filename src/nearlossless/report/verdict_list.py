"""All verdicts of a run, red first, each with its reason and the command that asks again."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from nearlossless.evaluation.record import PAGE_FILE, folder_in_report
from nearlossless.fields import GATES, RELEASE_GATES, STACK_GATES
from nearlossless.progress import duration
from nearlossless.record import Record
from nearlossless.record.subject import SubjectRecord
from nearlossless.report.reproducing import reproducing

REDNESS = ("REGRESSION", "NOT_COMPARABLE", "INCONCLUSIVE", "WAIVED", "PASS", "NOT_APPLICABLE")
_QUIET = ("PASS", "NOT_APPLICABLE")
_MOST_OPEN = 40  # of a list: more would not be one screen anyhow


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One verdict as it is shown."""

    outcome: str
    gate: str
    title: str  # of the subject
    reason: str
    took: str  # empty: not told
    command: str
    anchor: str
    is_open: bool
    page: str  # of an evaluation, inside the report folder; empty: there is none

    @property
    def first_line(self) -> str:
        """Of the reason."""
        return self.reason.partition("\n")[0]


@dataclass(slots=True)
class Glance:
    """Subjects by gates."""

    gates: list[str] = field(default_factory=list)
    rows: list[tuple[str, str, list[Listed | None]]] = field(default_factory=list)  # title, anchor, cells


def subject_anchor(number: int) -> str:
    """The id of a subject's section."""
    return f"subject-{number}"


def listed(record: Record, folder: Path | None = None) -> list[Listed]:
    """Every verdict of a record, the reddest first, otherwise in the order judged; pages are looked for in a folder."""
    found = [(subject, verdict) for subject in record.subjects for verdict in subject.verdicts]
    found.sort(key=lambda pair: REDNESS.index(pair[1].outcome))
    loud = sum(verdict.outcome not in _QUIET for _, verdict in found)
    return [
        Listed(
            outcome=verdict.outcome,
            gate=verdict.gate,
            title=subject.title,
            reason=verdict.reason,
            took=duration(verdict.seconds) if verdict.seconds is not None else "",
            command=reproducing(record.command, subject, verdict),
            anchor=f"verdict-{number}",
            is_open=verdict.outcome not in _QUIET and loud <= _MOST_OPEN,
            page=_page(subject, folder) if verdict.gate in RELEASE_GATES and folder is not None else "",
        )
        for number, (subject, verdict) in enumerate(found)
    ]


def _page(subject: SubjectRecord, folder: Path) -> str:
    path = folder_in_report(folder, subject.case, subject.device, subject.recipe) / PAGE_FILE
    return path.relative_to(folder).as_posix() if path.is_file() else ""


def tally(verdicts: list[Listed]) -> list[tuple[str, int]]:
    """How many of each outcome, the reddest first."""
    counts = Counter(verdict.outcome for verdict in verdicts)
    return [(outcome, counts[outcome]) for outcome in REDNESS if outcome in counts]


def glance(record: Record, verdicts: list[Listed]) -> Glance:
    """The outcome of each gate on each subject; of several, the reddest. The subject with the reddest comes first."""
    by_place: dict[tuple[str, str], Listed] = {}
    for verdict in verdicts:
        by_place.setdefault((verdict.title, verdict.gate), verdict)
    known = [*GATES, *STACK_GATES]
    gates = sorted({verdict.gate for verdict in verdicts}, key=lambda g: (known.index(g) if g in known else 99, g))
    found = Glance(gates=gates)
    for number, subject in enumerate(record.subjects):
        cells = [by_place.get((subject.title, gate)) for gate in gates]
        found.rows.append((subject.title, subject_anchor(number), cells))
    found.rows.sort(key=lambda row: sorted(REDNESS.index(cell.outcome) for cell in row[2] if cell) or [len(REDNESS)])
    return found
