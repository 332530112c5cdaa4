"""What the quality gate measured: pictures, step parity, replay."""

from typing import Literal

from pydantic import Field

from nearlossless.fields import InsideFolder, Int64
from nearlossless.metrics.scores import Scores
from nearlossless.printable import quoted
from nearlossless.record.part import Part


class PictureRecord(Part):
    """One picture: what it was compared with, its scores, its files (relative to the report folder)."""

    prompt: str
    seed: Int64
    height: Int64
    width: Int64
    tripwires: list[str] = Field(default_factory=list)
    live: Scores | None = None  # beside the live baseline's
    stored: Scores | None = None  # beside the stored one
    stored_choice: str | None = None  # where several pictures are accepted, the one that fits best, and why it is
    stored_problem: str | None = None
    stored_foreign: list[str] = Field(default_factory=list)
    baseline_clip: float | None = None
    obtained_clip: float | None = None
    stored_clip: float | None = None
    expected_file: InsideFolder | None = None
    baseline_file: InsideFolder | None = None
    obtained_file: InsideFolder | None = None

    @property
    def named(self) -> str:
        """As checks of it name it."""
        return f"{quoted(self.prompt)} seed {self.seed}"


class StepParity(Part):
    """
    Distances of a denoiser's output at one step (from 0) to a reference one precision up; None: nothing was finite.

    `ratio` and `max_ratio` are the compiled one's RMS and largest error in units of the baseline's. A bias is a mean
    error; `bias_share` is what neither the baseline's own nor chance explains of the compiled one's, in units of the
    compiled one's RMS error.
    """

    step: Int64
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


class ParityRecord(Part):
    """Step parity at the chosen steps, or why there is none; by block at the first that fails, else at the worst."""

    steps: list[StepParity] = Field(default_factory=list)
    reference: str = ""  # its dtype
    blocks: dict[str, StepParity] = Field(default_factory=dict)  # each alone, in the order of calls
    divergence: str | None = None  # where the first failing step diverges
    problem: str | None = None
    not_applicable: str | None = None


InputKind = Literal["latents", "timestep", "conditioning", "decoded"]


class InputError(Part):
    """The largest relative RMS distance from the baseline's of one kind of the denoiser's inputs, or the decoder's."""

    name: str
    call: Int64  # from 1
    error: float


class ReplayRecord(Part):
    """The compiled pipeline with the baseline's denoiser outputs played back, or why that was not done."""

    calls: Int64 = 0
    baseline_calls: Int64 = 0
    unlike: str | None = None  # inputs of other shapes, or other ones
    errors: dict[InputKind, InputError] = Field(default_factory=dict)
    eps: float = 0.0  # of the coarser of the two pipelines' latents
    pictures: list[Scores] = Field(default_factory=list)  # beside the baseline's, of one batch
    tripwires: list[str] = Field(default_factory=list)
    problem: str | None = None
    not_applicable: str | None = None
