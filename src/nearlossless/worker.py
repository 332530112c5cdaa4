"""
One (case, recipe) in a process of its own, driven over a pipe: `python -m nearlossless.worker`.

Reads one `Job` as a line of JSON from standard input and writes one event a line to standard output:
`{"phase": ...}` as it goes, and at the end `{"result": ...}` or `{"error": ...}`. Whatever libraries print
goes to standard error.
"""

import json
import os
import sys
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any, TextIO

from pydantic import BaseModel, ConfigDict, Field

from nearlossless.cases import Case
from nearlossless.effect import Effect, measure_effect
from nearlossless.environment import Fingerprint
from nearlossless.fields import Device
from nearlossless.memory import is_out_of_memory
from nearlossless.recipes import Recipe

if TYPE_CHECKING:
    from nearlossless.memory import PeakMeter

STEADY_CALLS = 2


class Job(BaseModel):
    """What the worker is to run; no recipe means the baseline pipeline."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    case: Case
    recipe: Recipe | None
    device: Device


class PhasePeaks(BaseModel):
    """Peak bytes of each phase, each counted from its own start."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")

    kind: str
    load_bytes: int
    first_call_bytes: int
    steady_bytes: int
    steady_reserved_bytes: int | None = None
    steady_phase_bytes: dict[str, int] = Field(default_factory=dict)  # of a call of its own; empty: cannot be told


class ProcessRun(BaseModel):
    """What one process measured, from its start on."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")

    load_s: float
    first_call_s: float
    steady_s: list[float]
    peaks: PhasePeaks
    effect: Effect | None = None  # of the recipe; a baseline has none
    fingerprint: Fingerprint | None = None


def build(job: Job) -> Any:
    """The job's pipeline, alone in memory."""
    from nearlossless.pipelines.compiling import build_alone
    from nearlossless.pipelines.loading import build_baseline

    if job.recipe is None:
        return build_baseline(job.case, job.device)
    return build_alone(job.case, job.recipe, job.device)


def run(job: Job, tell: Any) -> ProcessRun:
    """Load, first call, steady calls, each of one batch, timed and with its memory peak."""
    start = time.perf_counter()
    tell("load")
    from nearlossless.memory import peak_meter
    from nearlossless.pipelines.drawing import draw_batch
    from nearlossless.pipelines.loading import fingerprint_of
    from nearlossless.pipelines.requests import batches, short_batch
    from nearlossless.shapes import counted_compiles
    from nearlossless.timing import synchronizer, timed

    meter, synchronize = peak_meter(job.device), synchronizer(job.device)
    pipeline = build(job)
    synchronize()
    load_s, load_peak = time.perf_counter() - start, meter.read()
    batch = batches(job.case.generation)[0]

    def once() -> None:
        draw_batch(pipeline, job.case.generation, batch)

    tell("first call")
    meter.reset()
    with counted_compiles() as compiles:
        first_call_s = timed(once, synchronize=synchronize)
    first_call_peak = meter.read()
    tell("steady calls")
    meter.reset()
    steady_s = [timed(once, synchronize=synchronize) for _ in range(STEADY_CALLS)]
    steady_peak = meter.read()
    effect = None
    if job.recipe is not None:  # last, since the profiler leaves traces in times and memory
        short = partial(draw_batch, pipeline, job.case.generation, short_batch(job.case.generation))
        effect = measure_effect(pipeline, job.recipe, short, graphs=compiles.graphs)
    return ProcessRun(
        load_s=load_s,
        first_call_s=first_call_s,
        steady_s=steady_s,
        peaks=PhasePeaks(
            kind=steady_peak.kind,
            load_bytes=load_peak.gated_bytes,
            first_call_bytes=first_call_peak.gated_bytes,
            steady_bytes=steady_peak.gated_bytes,
            steady_reserved_bytes=steady_peak.reserved_bytes,
            steady_phase_bytes=_phase_bytes(job, pipeline, meter),
        ),
        effect=effect,
        fingerprint=fingerprint_of(pipeline, job.case, job.device),
    )


def _phase_bytes(job: Job, pipeline: Any, meter: "PeakMeter") -> dict[str, int]:
    """Of a call of its own, so that marking the phases disturbs no figure that is judged."""
    from nearlossless.pipelines.phases import phase_peaks
    from nearlossless.pipelines.requests import batches

    return phase_peaks(pipeline, job.case.generation, batches(job.case.generation)[0], meter)


def private_stdout() -> TextIO:
    """The pipe to the parent; afterwards file descriptor 1 is standard error, so that no library can write into it."""
    pipe = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    return pipe


def _end_with_parent() -> None:
    """The parent keeps standard input open as long as it lives; without it nobody waits for the result."""
    sys.stdin.read()
    os._exit(1)


def main() -> None:
    """Run the job on standard input."""
    pipe = private_stdout()

    def send(**event: Any) -> None:
        print(json.dumps(event), file=pipe, flush=True)

    try:
        job = Job.model_validate_json(sys.stdin.readline())
        threading.Thread(target=_end_with_parent, daemon=True).start()
        result = run(job, lambda phase: send(phase=phase))
    except BaseException as error:  # the parent turns it into a verdict
        send(error=str(error), kind=type(error).__name__, out_of_memory=is_out_of_memory(error))
        raise
    send(result=result.model_dump(mode="json"))


if __name__ == "__main__":
    main()
