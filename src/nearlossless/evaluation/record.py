"""`evaluation.json`: everything an evaluation found, but the results of single prompts, which are Parquet."""

from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field

from nearlossless.atomic import write_text
from nearlossless.cases.thresholds import Band
from nearlossless.evaluation.bands import SetBand
from nearlossless.record.part import Part
from nearlossless.record.verdicts import VerdictRecord

SCHEMA_VERSION: Final = 1
RECORD_FILE = "evaluation.json"
PAGE_FILE = "report.html"


class Mean(Part):
    """A mean over the prompts that were judged, and an interval for the mean over prompts like these."""

    mean: float
    low: float
    high: float


class WorstPrompt(Part):
    """One of the ten worst. Files are inside the results folder."""

    number: int
    line: int
    prompt: str
    seed: int
    status: str
    problem: str | None
    worst_tile_ssim: float | None
    worst_tile_xywh: tuple[int, int, int, int] | None
    psnr_db: float | None
    colour_difference: float | None
    clip_drop: float | None
    baseline_file: str | None = None
    recipe_file: str | None = None


class PaceRecord(Part):
    """What one session drew."""

    prompts: int
    seconds: float
    workers: int
    engine: str


class EvaluationRecord(Part):
    """
    One evaluation. Quantiles are of the prompts judged, by figure: at 0.1 %, 1 %, 5 % and so on of them.

    `results_sha256` is of the results judged, in order: equal hashes are equal results to the bit.
    """

    schema_version: Literal[1] = 1
    nearlossless_version: str
    started: str
    command: str
    case: str
    recipe: str
    device: str
    width: int
    height: int
    prompts_source: str
    prompts_sha256: str
    prompts: int
    judged: int
    stopped_early: bool
    verdict: VerdictRecord
    band: SetBand
    live: Band  # of single pictures, as `max_clip_drop`
    max_clip_drop: float | None
    alpha: float
    baseline_clip: Mean | None = None
    compiled_clip: Mean | None = None
    clip_drop: Mean | None = None
    off: int
    share_off: Mean | None  # of the prompts of which it can be told
    distances: dict[str, float] = Field(default_factory=dict)
    reference: str | None = None
    quantiles: dict[str, dict[str, float]] = Field(default_factory=dict)
    worst: list[WorstPrompt] = Field(default_factory=list)
    without_answer: dict[str, int] = Field(default_factory=dict)  # prompts that were not drawn, by status
    set_aside: list[WorstPrompt] = Field(default_factory=list)  # the first ten of them
    results_sha256: str
    pace: PaceRecord
    picture: dict[str, Any]
    stack: dict[str, str]


def folder_in_report(report: Path, case: str, device: str, recipe: str) -> Path:
    """Where a report folder holds the results of an evaluation that ran from pytest."""
    return report / "evaluation" / f"{case}-{device}-{recipe}"


def write_evaluation(record: EvaluationRecord, folder: Path) -> Path:
    """Write `evaluation.json` into a results folder."""
    path = folder / RECORD_FILE
    write_text(path, record.model_dump_json(indent=1) + "\n")
    return path


def forget_evaluation(folder: Path) -> None:
    """Remove the record and the page of what a results folder held before: it is about to hold more."""
    for name in (RECORD_FILE, PAGE_FILE):  # in this order: a folder that has the record is finished
        (folder / name).unlink(missing_ok=True)
