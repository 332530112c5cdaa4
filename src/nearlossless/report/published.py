"""Published references as columns beside our own figures, metric by metric."""

from dataclasses import dataclass, replace

from nearlossless.cases.references import Figures, Reference
from nearlossless.record.subject import SubjectRecord
from nearlossless.report.table import (
    END_TO_END,
    FIRST_CALL,
    ITERATION_SPEED,
    OUT_OF_MEMORY,
    PEAK_MEMORY,
    WARM_FIRST_CALL,
    Metric,
    Row,
)

_FIELDS: dict[Metric, str] = {
    ITERATION_SPEED: "steps_per_s",
    replace(END_TO_END, digits=2): "latency_s",  # sources print hundredths of a second
    PEAK_MEMORY: "peak_gib",
    FIRST_CALL: "first_call_s",
    WARM_FIRST_CALL: "warm_first_call_s",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """One reference, with its figures under the labels of our own table."""

    gpu: str
    is_other: bool  # measured on another machine's GPU
    reference: Reference
    rows: dict[str, Row]  # by label; a metric that the source does not tell is absent

    @property
    def title(self) -> str:
        """GPU, recipe and date, and whether it was another machine."""
        where = ", another machine" if self.is_other else ""
        return f"{self.gpu}, {self.reference.recipe} (published {self.reference.measured.isoformat()}{where})"

    @property
    def explanation(self) -> str:
        """Source and note on one line."""
        return " ".join(part for part in (f"{self.reference.source}.", self.reference.note) if part)

    def row(self, label: str) -> Row:
        """The source's figures for one of our labels; an empty row where it tells none."""
        return self.rows.get(label, Row(label=label, unit="", baseline=None, compiled=None))

    def cell(self, label: str) -> str:
        """The source's figures for one of our labels in one cell, as `baseline → compiled (change)`."""
        _, baseline, compiled, change = self.row(label).cells()
        figures = compiled if baseline == "-" else f"{baseline} → {compiled}"
        return figures if change == "-" else f"{figures} ({change})"


def labels(columns: list[Published]) -> list[str]:
    """The labels that any of the references has figures for, in the order of our own table."""
    return [metric.label for metric in _FIELDS if any(metric.label in column.rows for column in columns)]


def published(subject: SubjectRecord) -> list[Published]:
    """
    The references to show beside a subject: those of its own recipe, or where it has none, all of its case.

    A reference is marked as another machine's unless the subject ran on the GPU that it names.
    """
    hardware = subject.fingerprint.picture.hardware if subject.fingerprint else None
    found = [(gpu, reference) for gpu, references in subject.references.items() for reference in references]
    own = [(gpu, reference) for gpu, reference in found if reference.recipe == subject.recipe]
    return [_published(gpu, reference, is_other=gpu != hardware) for gpu, reference in own or found]


def _published(gpu: str, reference: Reference, *, is_other: bool) -> Published:
    rows = {
        metric.label: _row(metric, field, reference)
        for metric, field in _FIELDS.items()
        if any(getattr(figures, field) is not None for figures in (reference.baseline, reference.compiled))
    }
    return Published(gpu=gpu, is_other=is_other, reference=reference, rows=rows)


def _row(metric: Metric, field: str, reference: Reference) -> Row:
    def missing(figures: Figures) -> str:
        return OUT_OF_MEMORY if figures.out_of_memory else "-"

    return metric.row(
        getattr(reference.baseline, field),
        getattr(reference.compiled, field),
        no_baseline=missing(reference.baseline),
        no_compiled=missing(reference.compiled),
    )
