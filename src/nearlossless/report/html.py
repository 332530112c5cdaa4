"""`report.html`: verdicts, tables and pictures on one page; everything in it is escaped."""

from pathlib import Path
from typing import Any

from nearlossless.record import Record
from nearlossless.record.quality import StepParity
from nearlossless.record.subject import SubjectRecord
from nearlossless.report.noise import FLOOR_HEADINGS, floor_line, floor_rows
from nearlossless.report.published import labels, published
from nearlossless.report.stacks import STACK_HEADINGS, stack_lines, stack_rows
from nearlossless.report.starts import START_HEADINGS, start_rows
from nearlossless.report.table import HEADINGS, performance_rows

_TEMPLATES = Path(__file__).parent / "templates"
_PARITY = {
    "RMS, baseline": "baseline_rms",
    "RMS, compiled": "compiled_rms",
    "ratio": "ratio",
    "largest, baseline": "baseline_max",
    "largest, compiled": "compiled_max",
    "mean, compiled": "compiled_bias",
}
_REDNESS = ("REGRESSION", "NOT_COMPARABLE", "INCONCLUSIVE", "WAIVED", "PASS", "NOT_APPLICABLE")


def _parity_row(step: StepParity) -> tuple[int, list[str], str]:
    values = [getattr(step, figure) for figure in _PARITY.values()]
    return step.step + 1, ["-" if value is None else f"{value:.3g}" for value in values], step.problem or "-"


def _view(subject: SubjectRecord) -> dict[str, Any]:
    columns = published(subject)
    told = labels(columns)
    rows = [row for row in performance_rows(subject) if row.is_measured or row.label in told]
    return {
        "record": subject,
        "hardware": subject.fingerprint.picture.hardware if subject.fingerprint else subject.device,
        "verdicts": sorted(subject.verdicts, key=lambda verdict: _REDNESS.index(verdict.outcome)),
        "rows": [
            (*row.cells(), *(cell for column in columns for cell in column.row(row.label).cells()[1:])) for row in rows
        ],
        "published": columns,
        "starts": start_rows(subject),
        "parity": [_parity_row(step) for step in subject.parity.steps],
        "stack_rows": [row.cells() for row in stack_rows(subject.stacks)] if subject.stacks else [],
        "stack_lines": stack_lines(subject.stacks) if subject.stacks else [],
        "floor": floor_rows(subject),
        "floor_line": floor_line(subject),
        "pictures": sorted(subject.pictures, key=lambda p: p.live.worst_tile_ssim if p.live else 0.0),
    }


def template(name: str) -> Any:
    """A page's template; everything that is put into it is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


def render_html(record: Record) -> str:
    """One page that opens offline; pictures are loaded from files beside it."""
    page: str = template("report.html.jinja").render(
        record=record,
        subjects=[_view(subject) for subject in record.subjects],
        headings=HEADINGS,
        stack_headings=STACK_HEADINGS,
        start_headings=START_HEADINGS,
        parity_headings=list(_PARITY),
        floor_headings=FLOOR_HEADINGS,
    )
    return page
