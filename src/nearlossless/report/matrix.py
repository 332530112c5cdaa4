"""The performance of one case: its rows for the baseline and, side by side, for each recipe."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from nearlossless.record.speed import seconds_of
from nearlossless.record.subject import SubjectRecord
from nearlossless.report.published import Published, labels, published
from nearlossless.report.table import (
    END_TO_END,
    ITERATION_SPEED,
    PEAK_METRICS,
    PHASE_METRICS,
    Row,
    performance_rows,
)
from nearlossless.sequential import Interval
from nearlossless.speed.changes import Figure, phase_change, time_change

_BY_PHASE = {metric.label for metric in (*PHASE_METRICS.values(), *PEAK_METRICS.values())}
# What calls tell by phase, so that its change has an interval.
_FIGURES: dict[str, Figure] = {
    ITERATION_SPEED.label: lambda call: call.steps_per_s,
    **{metric.label: seconds_of(name) for name, metric in PHASE_METRICS.items()},
}
_MORE_IS_BETTER = {ITERATION_SPEED.label}
_WORTH_A_COLOUR = 0.02  # of the baseline; below, no colour says that it got better or worse


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One recipe's figure and its change from the baseline measured with it."""

    compiled: str
    change: str
    interval: str = ""
    verdict: str = ""  # `better` or `worse`, for a colour; empty where the interval excludes neither


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixRow:
    """One metric."""

    label: str
    baseline: str
    recipes: list[Cell]
    published: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """The rows of OneDiff's tables, and below them those of single phases."""

    recipes: list[str]
    main: list[MatrixRow] = field(default_factory=list)
    phases: list[MatrixRow] = field(default_factory=list)

    @property
    def has_interval(self) -> bool:
        """Whether any change has one."""
        return any(cell.interval for row in (*self.main, *self.phases) for cell in row.recipes)


def references_of(subjects: Sequence[SubjectRecord]) -> list[Published]:
    """The published references to show beside the recipes of one case, each once."""
    found = {column.title: column for subject in subjects for column in published(subject)}
    return list(found.values())


def matrix(subjects: Sequence[SubjectRecord]) -> Matrix:
    """
    The table of one case on one device.

    Args:
        subjects: Its recipes, of one batch size and one GPU.
    """
    tables = [{row.label: row for row in performance_rows(subject)} for subject in subjects]
    columns = references_of(subjects)
    told, found = labels(columns), Matrix(recipes=[subject.recipe for subject in subjects])
    for label in tables[0]:
        rows = [table[label] for table in tables]
        if not any(row.is_measured for row in rows) and label not in told:
            continue
        line = MatrixRow(
            label=label,
            baseline=_baseline(rows),
            recipes=[_cell(row, subject) for row, subject in zip(rows, subjects, strict=True)],
            published=[cell for column in columns for cell in column.row(label).cells()[1:]],
        )
        (found.phases if label in _BY_PHASE else found.main).append(line)
    return found


def _baseline(rows: Sequence[Row]) -> str:
    measured = next((row for row in rows if row.baseline is not None), rows[0])
    return measured.cells()[1]


def _cell(row: Row, subject: SubjectRecord) -> Cell:
    _, _, compiled, change = row.cells()
    found = _interval(row.label, subject)
    if found is None:
        return Cell(compiled=compiled, change=change, verdict=_direction(row))
    shown = f"[{found.low - 1:+.1%}, {found.high - 1:+.1%}]"
    is_certain = not found.low <= 1 <= found.high
    return Cell(compiled=compiled, change=change, interval=shown, verdict=_direction(row) if is_certain else "")


def _interval(label: str, subject: SubjectRecord) -> Interval | None:
    """Of the change of what is timed in pairs; None for anything else, and in records without their sampling."""
    if subject.sampling is None:
        return None
    if label == END_TO_END.label:
        return time_change(subject.speeds, subject.sampling)
    return phase_change(subject.speeds, _FIGURES[label], subject.sampling) if label in _FIGURES else None


def _direction(row: Row) -> str:
    if row.baseline is None or row.compiled is None or row.baseline <= 0:
        return ""
    change = row.compiled / row.baseline - 1
    if abs(change) < _WORTH_A_COLOUR:
        return ""
    return "better" if (change > 0) == (row.label in _MORE_IS_BETTER) else "worse"
