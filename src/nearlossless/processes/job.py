"""What a process is asked to run, and what it measured."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from nearlossless.cases.case import Case
from nearlossless.cases.recipes import Recipe
from nearlossless.effect import Effect
from nearlossless.environment import Fingerprint
from nearlossless.fields import Device, Int64
from nearlossless.memory.driver import BeyondTorch
from nearlossless.memory.leaks import Rounds
from nearlossless.processes.caches import CacheUse


class Job(BaseModel):
    """What the worker is to run; no recipe means the baseline pipeline."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    case: Case
    recipe: Recipe | None
    device: Device
    save_artifacts: Path | None = None  # where to write what the first call compiled
    load_artifacts: Path | None = None  # such a file, of this very run: loading it runs code
    max_leak_kib: float | None = None  # what memory may grow by a call; None: no calls are made to see whether it does


class PhasePeaks(BaseModel):
    """Peak bytes of each phase, each counted from its own start."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")

    kind: str
    load_bytes: Int64
    first_call_bytes: Int64
    steady_bytes: Int64
    steady_reserved_bytes: Int64 | None = None
    steady_phase_bytes: dict[str, Int64] = Field(default_factory=dict)  # of a call of its own; empty: cannot be told


class ProcessRun(BaseModel):
    """What one process measured, from its start on."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")

    load_s: float
    first_call_s: float
    steady_s: list[float] = Field(min_length=1)
    peaks: PhasePeaks
    effect: Effect | None = None  # of the recipe; a baseline has none
    fingerprint: Fingerprint | None = None
    caches: dict[str, CacheUse] = Field(default_factory=dict)  # that torch counted any lookup of
    beyond_torch: BeyondTorch | None = None  # on a GPU, after the steady calls
    rounds: Rounds | None = None  # of the calls that show leaks, where there were any
    residue_bytes: Int64 | None = None  # in tensors, after the pipeline is gone; likewise
