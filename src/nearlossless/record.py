"""The record: everything one run measured, raw samples included, as JSON with a schema version."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nearlossless.atomic import write_text
from nearlossless.environment import Fingerprint
from nearlossless.references import Reference
from nearlossless.thresholds import Thresholds
from nearlossless.worker import ProcessRun

SCHEMA_VERSION: Final = 1
RECORD_FILE = "record.json"


class RecordError(Exception):
    """A record that cannot be read; names the file and what is wrong."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="strings")


class CheckRecord(_Part):
    """One figure held against one threshold."""

    name: str
    of: str
    outcome: str
    obtained: float | None
    threshold: float | None
    comparison: str
    unit: str
    note: str
    interval: tuple[float, float] | None
    path: str | None


class VerdictRecord(_Part):
    """The answer of one gate and the test that gave it."""

    gate: str
    outcome: str
    reason: str
    test: str
    checks: list[CheckRecord] = Field(default_factory=list)


class PictureRecord(_Part):
    """One picture: what it was compared with, its scores, its files (relative to the report folder)."""

    prompt: str
    seed: int
    height: int
    width: int
    tripwires: list[str] = Field(default_factory=list)
    live_mean_ssim: float | None = None
    live_worst_tile_ssim: float | None = None
    live_worst_tile_xywh: tuple[int, int, int, int] | None = None
    stored_worst_tile_ssim: float | None = None
    stored_problem: str | None = None
    stored_foreign: list[str] = Field(default_factory=list)
    baseline_clip: float | None = None
    obtained_clip: float | None = None
    stored_clip: float | None = None
    expected_file: str | None = None
    baseline_file: str | None = None
    obtained_file: str | None = None


class SizeRecord(_Part):
    """One size of the shapes gate."""

    height: int
    width: int
    compiles: int
    latency_s: float
    live_worst_tile_ssim: float | None = None
    problems: list[str] = Field(default_factory=list)


class SwapRecord(_Part):
    """One swap of the LoRA in both pipelines."""

    lora: str
    compiles: int
    baseline_change_ssim: float | None = None  # worst tile of the baseline's pictures after against before the swap
    live_worst_tile_ssim: float | None = None
    problems: list[str] = Field(default_factory=list)


class Speeds(_Part):
    """Raw latencies of the pairs, each of one call, and denoising steps a second, each of a whole batch."""

    baseline_s: list[float] = Field(default_factory=list)
    compiled_s: list[float] = Field(default_factory=list)
    baseline_steps_per_s: float | None = None
    compiled_steps_per_s: float | None = None


class SubjectRecord(_Part):
    """One (case, recipe) on one device."""

    case: str
    recipe: str
    backend: str
    device: str
    batch_size: int = 1
    thresholds: Thresholds
    fingerprint: Fingerprint | None = None
    verdicts: list[VerdictRecord] = Field(default_factory=list)
    baseline_process: ProcessRun | None = None
    cold_process: ProcessRun | None = None
    warm_process: ProcessRun | None = None
    speeds: Speeds = Field(default_factory=Speeds)
    pictures: list[PictureRecord] = Field(default_factory=list)
    graphs: int | None = None  # compiled by Dynamo when the pipeline was built and first called
    sizes: list[SizeRecord] = Field(default_factory=list)
    swaps: list[SwapRecord] = Field(default_factory=list)
    references: dict[str, tuple[Reference, ...]] = Field(default_factory=dict)

    @property
    def title(self) -> str:
        """`case / recipe / device`."""
        return f"{self.case} / {self.recipe} / {self.device}"


class Record(_Part):
    """One run."""

    schema_version: Literal[1]
    nearlossless_version: str
    started: str
    command: str
    subjects: list[SubjectRecord] = Field(default_factory=list)


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def write_record(record: Record, folder: Path) -> Path:
    """Write `record.json` into a report folder."""
    path = folder / RECORD_FILE
    write_text(path, record.model_dump_json(indent=1) + "\n")
    return path


def read_record(path: Path) -> Record:
    """
    Read a record.

    Raises:
        RecordError: Unreadable, not a record, or of another schema version.
    """
    try:
        return Record.model_validate_json(path.read_bytes())
    except OSError as error:
        raise RecordError(f"{path}: cannot be read ({error.strerror})") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "file"
        raise RecordError(f"{path}: is no record of schema {SCHEMA_VERSION}: {where}: {first['msg']}") from None
