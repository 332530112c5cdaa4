"""The record: everything one run measured, raw samples included, as JSON with a schema version."""

import statistics
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nearlossless.atomic import write_text
from nearlossless.effect import Effect
from nearlossless.environment import Fingerprint
from nearlossless.metrics.scores import Scores
from nearlossless.references import Reference
from nearlossless.stacks import StackComparison
from nearlossless.thresholds import Band, Thresholds
from nearlossless.waivers import Waiver
from nearlossless.worker import ProcessRun

SCHEMA_VERSION: Final = 1
RECORD_FILE = "record.json"
LARGEST_RECORD = 1 << 26


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
    live: Scores | None = None  # beside the live baseline's
    stored: Scores | None = None  # beside the stored one
    stored_choice: str | None = None  # where several pictures are accepted, the one that fits best, and why it is
    stored_problem: str | None = None
    stored_foreign: list[str] = Field(default_factory=list)
    baseline_clip: float | None = None
    obtained_clip: float | None = None
    stored_clip: float | None = None
    expected_file: str | None = None
    baseline_file: str | None = None
    obtained_file: str | None = None


class StepParity(_Part):
    """
    Distances of a denoiser's output at one step (from 0) to a reference one precision up; None: nothing was finite.

    `ratio` and `max_ratio` are the compiled one's RMS and largest error in units of the baseline's. A bias is a mean
    error; `bias_share` is what chance does not explain of the compiled one's, in units of its RMS error.
    """

    step: int
    problem: str | None = None
    reference_rms: float | None = None
    baseline_rms: float | None = None
    compiled_rms: float | None = None
    baseline_max: float | None = None
    compiled_max: float | None = None
    baseline_bias: float | None = None
    compiled_bias: float | None = None
    ratio: float | None = None
    max_ratio: float | None = None
    bias_share: float | None = None


class ParityRecord(_Part):
    """Step parity at the chosen steps, or why there is none."""

    steps: list[StepParity] = Field(default_factory=list)
    reference: str = ""  # its dtype
    divergence: str | None = None  # where the first failing step diverges
    problem: str | None = None
    not_applicable: str | None = None


InputKind = Literal["latents", "timestep", "conditioning", "decoded"]


class InputError(_Part):
    """The largest relative RMS distance from the baseline's of one kind of the denoiser's inputs, or the decoder's."""

    name: str
    call: int  # from 1
    error: float


class ReplayRecord(_Part):
    """The compiled pipeline with the baseline's denoiser outputs played back, or why that was not done."""

    calls: int = 0
    baseline_calls: int = 0
    unlike: str | None = None  # inputs of other shapes, or other ones
    errors: dict[InputKind, InputError] = Field(default_factory=dict)
    eps: float = 0.0  # of the coarser of the two pipelines' latents
    pictures: list[Scores] = Field(default_factory=list)  # beside the baseline's, of one batch
    tripwires: list[str] = Field(default_factory=list)
    problem: str | None = None
    not_applicable: str | None = None


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


PHASES = ("text encoding", "denoising", "decoding")


class PhaseTimes(_Part):
    """Seconds of one call. The first step is apart: what is prepared once falls into it."""

    text_encoding_s: float
    first_step_s: float
    later_steps_s: list[float]
    decoding_s: float

    @property
    def seconds(self) -> dict[str, float]:
        """By phase; denoising is all steps."""
        denoising_s = self.first_step_s + sum(self.later_steps_s)
        return dict(zip(PHASES, (self.text_encoding_s, denoising_s, self.decoding_s), strict=True))

    @property
    def steps_per_s(self) -> float | None:
        """Denoising steps a second, from the second on; None where there is none."""
        seconds = sum(self.later_steps_s)
        return len(self.later_steps_s) / seconds if seconds > 0 else None


class AcceptedSpeeds(_Part):
    """Raw latencies of the record last accepted on this machine, or why there are none to compare with."""

    problem: str | None = None
    started: str = ""
    baseline_s: list[float] = Field(default_factory=list)
    compiled_s: list[float] = Field(default_factory=list)
    set_aside: list[str | None] = Field(default_factory=list)


class Speeds(_Part):
    """
    Raw latencies of the pairs, each of one call, and the phases of calls of their own, each of a whole batch.

    `set_aside` has of each pair why it is not judged, None where it is; `accepted` what it was held against.
    """

    baseline_s: list[float] = Field(default_factory=list)
    compiled_s: list[float] = Field(default_factory=list)
    set_aside: list[str | None] = Field(default_factory=list)
    accepted: AcceptedSpeeds | None = None
    baseline_phases: list[PhaseTimes] = Field(default_factory=list)
    compiled_phases: list[PhaseTimes] = Field(default_factory=list)

    @property
    def phase_speedups(self) -> dict[str, float]:
        """Of each phase the baseline's median seconds over the compiled one's; empty where one was not measured."""
        sides = (self.baseline_phases, self.compiled_phases)
        if not all(sides):
            return {}
        medians = [{name: statistics.median(each.seconds[name] for each in side) for name in PHASES} for side in sides]
        return {name: medians[0][name] / medians[1][name] for name in PHASES if medians[1][name] > 0}


class SubjectRecord(_Part):
    """One (case, recipe) on one device."""

    case: str
    recipe: str
    backend: str
    device: str
    batch_size: int = 1
    thresholds: Thresholds
    baseline_does_not_fit: str | None = None  # why there is no baseline here, as the case says
    baseline_out_of_memory: str | None = None  # what its process said when it ran out of the GPU's memory
    estimated_gib: tuple[float, float] | None = None  # steady peaks of baseline and recipe; on a GPU
    fingerprint: Fingerprint | None = None
    verdicts: list[VerdictRecord] = Field(default_factory=list)
    baseline_process: ProcessRun | None = None
    cold_process: ProcessRun | None = None
    warm_process: ProcessRun | None = None
    artifact_process: ProcessRun | None = None  # started from the cold one's compile artifacts
    speeds: Speeds = Field(default_factory=Speeds)
    pictures: list[PictureRecord] = Field(default_factory=list)
    parity: ParityRecord = Field(default_factory=ParityRecord)
    replay: ReplayRecord = Field(default_factory=ReplayRecord)
    noise_floor: Band | None = None  # the worst of each figure under benign changes, as calibrated
    effect: Effect | None = None  # of the recipe on the session's pipeline
    sizes: list[SizeRecord] = Field(default_factory=list)
    swaps: list[SwapRecord] = Field(default_factory=list)
    stacks: StackComparison | None = None  # beside another environment, where one was named
    references: dict[str, tuple[Reference, ...]] = Field(default_factory=dict)
    waivers: tuple[Waiver, ...] = ()  # those of the case that are about this recipe and device

    @property
    def title(self) -> str:
        """`case / recipe / device`, and how many pictures a call draws if it is more than one."""
        batch = f", {self.batch_size} pictures a call" if self.batch_size > 1 else ""
        return f"{self.case} / {self.recipe} / {self.device}{batch}"

    @property
    def unneeded_waivers(self) -> list[Waiver]:
        """Waivers whose gate ran and passed: what they waive is mended, and they should go."""
        return [
            waiver
            for waiver in self.waivers
            if {verdict.outcome for verdict in self.verdicts if verdict.gate == waiver.gate} == {"PASS"}
        ]

    @property
    def lacks_thresholds(self) -> bool:
        """Whether some figure was measured for which there is no threshold yet, and nothing regressed."""
        checks = [check for verdict in self.verdicts for check in verdict.checks]
        is_sound = all(verdict.outcome not in {"REGRESSION", "WAIVED"} for verdict in self.verdicts)
        return is_sound and any(c.comparison and c.obtained is not None and c.threshold is None for c in checks)


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
        return parse_record(path.read_bytes(), path)
    except OSError as error:
        raise RecordError(f"{path}: cannot be read ({error.strerror})") from None


def parse_record(content: bytes, path: Path) -> Record:
    """
    The record in the bytes of a file.

    Raises:
        RecordError: Not a record, or of another schema version; names the file.
    """
    try:
        return Record.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "file"
        raise RecordError(f"{path}: is no record of schema {SCHEMA_VERSION}: {where}: {first['msg']}") from None
