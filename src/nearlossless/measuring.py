"""Measurements that need both pipelines or several processes, put together for one subject."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nearlossless.backends import BackendError
from nearlossless.backends.nexfort_probe import TRIED, check, tasks_of
from nearlossless.baselines import CANDIDATES, EXPECTED
from nearlossless.cases import Case
from nearlossless.comparison import Comparison, compare_pictures, tripped
from nearlossless.environment import (
    Fingerprint,
    environment_variables,
    hardware_folder,
    restored_torch_settings,
)
from nearlossless.pipelines.compiling import build_compiled, check_baseline_unchanged
from nearlossless.pipelines.drawing import call, draw, step_timer
from nearlossless.pipelines.requests import Request, requests, size_requests
from nearlossless.processes import WorkerError, cache_environment, run_worker
from nearlossless.progress import Progress
from nearlossless.quality import clip_scorer, judge_folder, ssim
from nearlossless.recipes import Recipe
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

    def run(title: str, *, folder: Path, recipe: Recipe | None, variables: Mapping[str, str]) -> ProcessRun:
        job = Job(case=subject.case, recipe=recipe, device=subject.device)
        with progress.phase(f"{title} process"):
            return run_worker(
                job,
                environment={**cache_environment(folder), **variables},
                progress=lambda phase: progress.say(f"{title} process: {phase}"),
            )

    recipe, key = subject.recipe, (subject.case.name, subject.device)
    with environment_variables(recipe.environment):
        for task in tasks_of(recipe, subject.device, subject.case.model.dtype[subject.device]):
            with progress.phase(f"nexfort: {task.api} tried on a tiny module"):
                check(task)
    try:
        if key not in baselines:
            baselines[key] = run("baseline", folder=cache / "baseline", recipe=None, variables={})
    except (WorkerError, BackendError) as error:
        raise BaselineError(f"the baseline's own process failed: {error}") from None
    variables = recipe.environment | TRIED
    cold = run("cold", folder=cache, recipe=recipe, variables=variables)
    warm = run("warm", folder=cache, recipe=recipe, variables=variables)
    return ProcessRuns(baseline=baselines[key], cold=cold, warm=warm)


def drawer(pipeline: Any, case: Case) -> Callable[[Request], Any]:
    """A function that draws requests of a case with a pipeline."""
    return partial(draw, pipeline, case.generation)


def steps_per_second(pipeline: Any, case: Case, synchronize: Callable[[], None]) -> float | None:
    """Denoising steps a second from the second step on; None where the pipeline tells no steps."""

    def clock() -> float:
        synchronize()
        return time.perf_counter()

    ends, options = step_timer(clock)
    try:
        call(pipeline, case.generation, requests(case.generation)[0], **options)
    except Exception:  # a user's own callable need not know the callback; that it draws was seen before
        return None
    return (len(ends) - 1) / (ends[-1] - ends[0]) if len(ends) > 1 and ends[-1] > ends[0] else None


def measure_speed(baseline: Any, compiled: Any, subject: Subject, progress: Progress) -> Speeds:
    """Paired latencies until the speedup is decided, then iteration speeds in calls of their own."""
    case, synchronize = subject.case, synchronizer(subject.device)
    first = requests(case.generation)[0]
    with progress.phase("speedup: warm-up"):
        pairs = measure_pairs(
            partial(draw, baseline, case.generation, first),
            partial(draw, compiled, case.generation, first),
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
    """Warm up, then draw at every size and count what each compiles; a size that fails does not end the cycle."""
    case, synchronize = subject.case, synchronizer(subject.device)
    all_requests = size_requests(case.generation)
    sizes = []
    with progress.phase("shapes: warm-up"):
        for height, width in warmup_sizes(case.generation.sizes):
            draw(compiled, case.generation, next(r for r in all_requests if (r.height, r.width) == (height, width)))
        for number, request in enumerate(all_requests, 1):
            if number % 10 == 1:
                progress.say(f"shapes: size {number} of {len(all_requests)}")
            sizes.append(_draw_at_size(baseline, compiled, case, request, synchronize))
    return sizes


def _draw_at_size(
    baseline: Any, compiled: Any, case: Case, request: Request, synchronize: Callable[[], None]
) -> SizeRecord:
    live = draw(baseline, case.generation, request)
    obtained: Image.Image | None = None
    size = SizeRecord(height=request.height, width=request.width, compiles=0, latency_s=0.0)

    def once() -> None:
        nonlocal obtained
        obtained = draw(compiled, case.generation, request)

    with counted_compiles() as compiles:
        try:
            size.latency_s = timed(once, synchronize=synchronize)
        except BackendError as error:
            size.problems.append(str(error))
    size.compiles = compiles.total
    if obtained is not None:
        size.problems += tripped(obtained, live, request)
    if obtained is not None and obtained.size == live.size:
        size.live_worst_tile_ssim = ssim(obtained, live).worst_tile_ssim
    return size


def compile_beside(baseline: Any, subject: Subject, progress: Progress) -> tuple[Any, int]:
    """
    The compiled pipeline, after one picture by it and proof that the baseline still draws what it drew.

    Returns:
        The pipeline, and how many graphs Dynamo compiled for that picture.

    Raises:
        BackendError: The backend failed, or its pipeline does not draw.
        BaselineChanged: The baseline's picture moved.
        BaselineError: The baseline does not draw.
    """
    draw_baseline, first = drawer(baseline, subject.case), requests(subject.case.generation)[0]
    try:
        with progress.phase("baseline pipeline: first pictures"):
            before = [draw_baseline(first), draw_baseline(first)]
            if before[0].tobytes() != before[1].tobytes():
                before.append(draw_baseline(first))  # it does not repeat itself: three show its spread
    except BackendError as error:
        raise BaselineError(f"the baseline does not draw: {error}") from error
    with progress.phase("compiled pipeline: compile and first picture"):
        with counted_compiles() as compiles, restored_torch_settings():
            compiled = build_compiled(baseline, subject.recipe)
            draw(compiled, subject.case.generation, first)
        check_baseline_unchanged(before, draw_baseline(first))
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
