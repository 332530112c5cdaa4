"""
One (case, recipe) in a process of its own, driven over a pipe: `python -m nearlossless.processes.worker`.

Reads one `Job` as a line of JSON from standard input and writes one event a line to standard output:
`{"phase": ...}` as it goes, and at the end `{"result": ...}` or `{"error": ...}`. Whatever libraries print
goes to standard error.
"""

import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from nearlossless.effect import Effect, measure_effect
from nearlossless.memory.driver import BeyondTorch, beyond_torch
from nearlossless.memory.leaks import Rounds
from nearlossless.processes.caches import CacheUse, cache_uses, own_hits
from nearlossless.processes.job import Job, PhasePeaks, ProcessRun
from nearlossless.processes.streams import answer

if TYPE_CHECKING:
    from nearlossless.memory.peaks import Peak, PeakMeter

STEADY_CALLS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class _Calls:
    """The calls of a pipeline that was never called before."""

    first_s: float
    first_peak: "Peak"
    steady_s: list[float]
    steady_peak: "Peak"
    graphs: int
    caches: dict[str, CacheUse]
    beyond_torch: BeyondTorch | None


def run(job: Job, tell: Callable[[str], object]) -> ProcessRun:
    """Load, first call, steady calls, each of one batch, timed and with its memory peak; then what memory keeps."""
    start = time.perf_counter()
    tell("load")
    from nearlossless.memory.held import residue_bytes
    from nearlossless.memory.peaks import peak_meter
    from nearlossless.speed.timing import synchronizer

    meter = peak_meter(job.device)
    pipeline = build(job)
    synchronizer(job.device)()
    load_s, load_peak = time.perf_counter() - start, meter.read()
    measured = _measured(job, pipeline, load_s, load_peak, meter, tell)
    if job.max_leak_kib is None:
        return measured
    rounds = _rounds(job, pipeline, job.max_leak_kib, tell)
    tell("release")
    del pipeline
    return measured.model_copy(update={"rounds": rounds, "residue_bytes": residue_bytes(job.device)})


def _measured(
    job: Job, pipeline: Any, load_s: float, load_peak: "Peak", meter: "PeakMeter", tell: Callable[[str], object]
) -> ProcessRun:
    from nearlossless.pipelines.loading import fingerprint_of

    calls = _time_calls(job, pipeline, meter, tell)
    return ProcessRun(
        load_s=load_s,
        first_call_s=calls.first_s,
        steady_s=calls.steady_s,
        peaks=PhasePeaks(
            kind=calls.steady_peak.kind,
            load_bytes=load_peak.gated_bytes,
            first_call_bytes=calls.first_peak.gated_bytes,
            steady_bytes=calls.steady_peak.gated_bytes,
            steady_reserved_bytes=calls.steady_peak.reserved_bytes,
            steady_phase_bytes=_phase_bytes(job, pipeline, meter),
        ),
        # Last, since the profiler leaves traces in times and memory.
        effect=_effect(job, pipeline, calls.graphs),
        fingerprint=fingerprint_of(pipeline, job.case, job.device),
        caches=calls.caches,
        beyond_torch=calls.beyond_torch,
    )


def _rounds(job: Job, pipeline: Any, max_leak_kib: float, tell: Callable[[str], object]) -> Rounds:
    """At other sizes too, unless the recipe is for one: there, every other size would be compiled."""
    from nearlossless.measuring.leak_calls import draw_rounds

    tell("calls for leaks")
    all_sizes = job.recipe is None or "shapes" not in job.recipe.not_applicable
    return draw_rounds(pipeline, job.case, job.device, all_sizes=all_sizes, max_leak_kib=max_leak_kib)


def build(job: Job) -> Any:
    """The job's pipeline, with the artifacts in the caches that it is to start from."""
    from nearlossless.pipelines.compiling import build_alone
    from nearlossless.pipelines.loading import build_baseline
    from nearlossless.processes.artifacts import check_artifacts, load_artifacts

    if job.save_artifacts is not None or job.load_artifacts is not None:
        check_artifacts()
    if job.load_artifacts is not None:
        load_artifacts(job.load_artifacts)
    if job.recipe is None:
        return build_baseline(job.case, job.device)
    return build_alone(job.case, job.recipe, job.device)


def _time_calls(job: Job, pipeline: Any, meter: "PeakMeter", tell: Callable[[str], object]) -> _Calls:
    from nearlossless.pipelines.drawing import draw_batch
    from nearlossless.pipelines.requests import batches
    from nearlossless.processes.artifacts import save_artifacts
    from nearlossless.shapes.counting import counted_compiles
    from nearlossless.speed.timing import synchronizer, timed

    once = partial(draw_batch, pipeline, job.case.generation, batches(job.case.generation)[0])
    time_call = partial(timed, once, synchronize=synchronizer(job.device))
    # A baseline looks nothing up, and is not made to import what does.
    watched: AbstractContextManager[Counter[str]] = own_hits() if job.recipe is not None else nullcontext(Counter())
    with watched as own:
        tell("first call")
        meter.reset()
        with counted_compiles() as compiles:
            first_s = time_call()
        first_peak = meter.read()
        if job.save_artifacts is not None:
            save_artifacts(job.save_artifacts)
        tell("steady calls")
        meter.reset()
        steady_s = [time_call() for _ in range(STEADY_CALLS)]
        steady_peak = meter.read()
    return _Calls(
        first_s=first_s,
        first_peak=first_peak,
        steady_s=steady_s,
        steady_peak=steady_peak,
        graphs=compiles.graphs,
        caches=cache_uses(own),
        beyond_torch=beyond_torch(job.device),
    )


def _phase_bytes(job: Job, pipeline: Any, meter: "PeakMeter") -> dict[str, int]:
    """Of a call of its own, so that marking the phases disturbs no figure that is judged."""
    from nearlossless.pipelines.phases import phase_peaks
    from nearlossless.pipelines.requests import batches

    return phase_peaks(pipeline, job.case.generation, batches(job.case.generation)[0], meter)


def _effect(job: Job, pipeline: Any, graphs: int) -> Effect | None:
    from nearlossless.pipelines.drawing import draw_batch
    from nearlossless.pipelines.requests import short_batch

    if job.recipe is None:
        return None
    short = partial(draw_batch, pipeline, job.case.generation, short_batch(job.case.generation))
    return measure_effect(pipeline, job.recipe, short, graphs=graphs)


if __name__ == "__main__":
    answer(lambda line, tell: run(Job.model_validate_json(line), tell))
