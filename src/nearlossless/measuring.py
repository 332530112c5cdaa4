"""Measurements that need both pipelines or several processes, put together for one subject."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nearlossless.backends import BackendError
from nearlossless.baselines import CANDIDATES, EXPECTED
from nearlossless.cases import Case
from nearlossless.comparison import Comparison, Draw, batch_ssim, batch_tripped, compare_pictures
from nearlossless.environment import Fingerprint, hardware_folder, restored_torch_settings
from nearlossless.pipelines.compiling import build_compiled, check_batch_unchanged
from nearlossless.pipelines.drawing import call, draw_batch, step_timer
from nearlossless.pipelines.requests import Batch, batches, requests, size_batches
from nearlossless.processes import WorkerError, cache_environment, run_worker
from nearlossless.progress import Progress
from nearlossless.quality import clip_scorer, judge_folder
from nearlossless.record import PictureRecord, SizeRecord, Speeds
from nearlossless.selection import Subject
from nearlossless.shapes import counted_compiles, warmup_sizes
from nearlossless.timing import PairedLatencies, measure_pairs, synchronizer, timed
from nearlossless.worker import Job, ProcessRun

if TYPE_CHECKING:
    from PIL import Image


class BaselineError(Exception):
    """The baseline itself cannot be measured: nothing can be compared with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessRuns:
    """The baseline and the compiled pipeline, each in fresh processes."""

    baseline: ProcessRun
    cold: ProcessRun
    warm: ProcessRun


def measure_processes(
    subject: Subject, cache: Path, progress: Progress, baselines: dict[tuple[str, str], ProcessRun]
) -> ProcessRuns:
    """
    Run baseline, cold and warm processes one after the other; `cache` is empty before and primed after.

    `baselines` keeps the baseline's run of each case and device, which all its recipes share.

    Raises:
        BaselineError: The baseline's process failed.
        WorkerError, BackendError, BackendUnavailable: A compiled process failed, or cannot run here.
    """

    def run(title: str, *, compiled: bool, folder: Path) -> ProcessRun:
        job = Job(case=subject.case, recipe=subject.recipe if compiled else None, device=subject.device)
        with progress.phase(f"{title} process"):
            return run_worker(
                job,
                environment=cache_environment(folder),
                progress=lambda phase: progress.say(f"{title} process: {phase}"),
            )

    key = (subject.case.name, subject.device)
    try:
        if key not in baselines:
            baselines[key] = run("baseline", compiled=False, folder=cache / "baseline")
    except (WorkerError, BackendError) as error:
        raise BaselineError(f"the baseline's own process failed: {error}") from None
    cold = run("cold", compiled=True, folder=cache)
    return ProcessRuns(baseline=baselines[key], cold=cold, warm=run("warm", compiled=True, folder=cache))


def drawer(pipeline: Any, case: Case) -> Draw:
    """A function that draws batches of a case with a pipeline."""
    return partial(draw_batch, pipeline, case.generation)


def steps_per_second(pipeline: Any, case: Case, synchronize: Callable[[], None]) -> float | None:
    """Denoising steps a second, each of a whole batch, from the second step on; None where the pipeline tells none."""

    def clock() -> float:
        synchronize()
        return time.perf_counter()

    ends, options = step_timer(clock)
    try:
        call(pipeline, case.generation, batches(case.generation)[0], **options)
    except Exception:  # a user's own callable need not know the callback; that it draws was seen before
        return None
    return (len(ends) - 1) / (ends[-1] - ends[0]) if len(ends) > 1 and ends[-1] > ends[0] else None


def measure_speed(baseline: Any, compiled: Any, subject: Subject, progress: Progress) -> Speeds:
    """Paired latencies of a batch's call until the speedup is decided, then iteration speeds in calls of their own."""
    case, synchronize = subject.case, synchronizer(subject.device)
    first = batches(case.generation)[0]
    with progress.phase("speedup: warm-up"):
        pairs = measure_pairs(
            partial(draw_batch, baseline, case.generation, first),
            partial(draw_batch, compiled, case.generation, first),
            sampling=case.sampling,
            min_speedup=subject.thresholds.min_speedup,
            synchronize=synchronize,
            progress=lambda count, check: (
                progress.say(f"speedup: pair {count}, {check.outcome.lower()}") if count % 5 == 0 else None
            ),
        )
        return Speeds(
            baseline_s=pairs.baseline_s,
            compiled_s=pairs.compiled_s,
            baseline_steps_per_s=steps_per_second(baseline, case, synchronize),
            compiled_steps_per_s=steps_per_second(compiled, case, synchronize),
        )


def paired(speeds: Speeds) -> PairedLatencies:
    """The recorded pairs, as the judge takes them."""
    return PairedLatencies(speeds.baseline_s, speeds.compiled_s)


def cycle_sizes(baseline: Any, compiled: Any, subject: Subject, progress: Progress) -> list[SizeRecord]:
    """Warm up, then draw a batch at every size and count what each compiles; a failing size does not end the cycle."""
    generation, synchronize = subject.case.generation, synchronizer(subject.device)
    all_batches = size_batches(generation)
    sizes = []
    with progress.phase("shapes: warm-up"):
        for size in warmup_sizes(generation.sizes):
            draw_batch(compiled, generation, all_batches[generation.sizes.index(size)])
        for number, batch in enumerate(all_batches, 1):
            if number % 10 == 1:
                progress.say(f"shapes: size {number} of {len(all_batches)}")
            sizes.append(_draw_at_size(baseline, compiled, subject.case, batch, synchronize))
    return sizes


def _draw_at_size(
    baseline: Any, compiled: Any, case: Case, batch: Batch, synchronize: Callable[[], None]
) -> SizeRecord:
    live = draw_batch(baseline, case.generation, batch)
    obtained: list[Image.Image] = []
    size = SizeRecord(height=batch[0].height, width=batch[0].width, compiles=0, latency_s=0.0)

    def once() -> None:
        obtained.extend(draw_batch(compiled, case.generation, batch))

    with counted_compiles() as compiles:
        try:
            size.latency_s = timed(once, synchronize=synchronize)
        except BackendError as error:
            size.problems.append(str(error))
    size.compiles = compiles.total
    if obtained:
        size.problems += batch_tripped(obtained, live, batch)
        size.live_worst_tile_ssim = batch_ssim(obtained, live)
    return size


def compile_beside(baseline: Any, subject: Subject, progress: Progress) -> tuple[Any, int]:
    """
    The compiled pipeline, after one batch by it and proof that the baseline still draws what it drew.

    Returns:
        The pipeline, and how many graphs Dynamo compiled for that batch.

    Raises:
        BackendError: The backend failed, or its pipeline does not draw.
        BaselineChanged: The baseline's picture moved.
        BaselineError: The baseline does not draw.
    """
    draw_baseline, first = drawer(baseline, subject.case), batches(subject.case.generation)[0]
    try:
        with progress.phase("baseline pipeline: first pictures"):
            before = [draw_baseline(first), draw_baseline(first)]
            if any(a.tobytes() != b.tobytes() for a, b in zip(*before, strict=True)):
                before.append(draw_baseline(first))  # it does not repeat itself: three show its spread
    except BackendError as error:
        raise BaselineError(f"the baseline does not draw: {error}") from error
    with progress.phase("compiled pipeline: compile and first picture"):
        with counted_compiles() as compiles, restored_torch_settings():
            compiled = build_compiled(baseline, subject.recipe)
            draw_batch(compiled, subject.case.generation, first)
        check_batch_unchanged(before, draw_baseline(first))
    return compiled, compiles.graphs


def measure_pictures(
    baseline: Any,
    compiled: Any,
    subject: Subject,
    fingerprint: Fingerprint | None,
    progress: Progress,
    *,
    report_folder: Path,
    update: bool,
) -> tuple[list[PictureRecord], list[Path]]:
    """
    Compare all pictures of the case; with `update`, write candidates for the expected ones from the baseline.

    Returns:
        One record a picture, and the paths of the candidates.
    """
    assert fingerprint is not None
    case, candidates = subject.case, report_folder / CANDIDATES / subject.case.name
    comparison = Comparison(
        case=case,
        case_folder=subject.case_folder,
        identity=fingerprint.picture,
        scorer=clip_scorer(judge_folder(case.judge)) if case.judge is not None else None,
        report_folder=report_folder,
        prefix=f"pictures/{subject.id}",
        stack=fingerprint.stack,
        candidates=candidates / hardware_folder(fingerprint.picture.hardware, fingerprint.picture.dtype) / EXPECTED
        if update
        else None,
    )
    records, total = [], len(requests(case.generation))
    with progress.phase(f"pictures: 0 of {total}"):
        for record in compare_pictures(drawer(baseline, case), drawer(compiled, case), comparison):
            records.append(record)
            progress.say(f"pictures: {len(records)} of {total}")
    return records, comparison.written
