"""Measurements that need both pipelines or several processes, put together for one subject."""

import math
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
from nearlossless.comparison import Comparison, Draw, batch_ssim, batch_tripped, compare_pictures
from nearlossless.divergence import first_divergence
from nearlossless.effect import Effect, measure_effect
from nearlossless.environment import (
    Fingerprint,
    environment_variables,
    hardware_folder,
    restored_torch_settings,
)
from nearlossless.gates import is_parity_regression
from nearlossless.parity import chosen_steps, compare_step, record_calls, reference_dtype
from nearlossless.pipelines.compiling import build_alone, build_compiled, check_batch_unchanged
from nearlossless.pipelines.drawing import call, draw_batch, step_timer
from nearlossless.pipelines.requests import Batch, batches, requests, short_batch, size_batches
from nearlossless.processes import WorkerError, cache_environment, run_worker
from nearlossless.progress import Progress
from nearlossless.quality import clip_scorer, judge_folder
from nearlossless.recipes import Recipe
from nearlossless.record import ParityRecord, PictureRecord, SizeRecord, Speeds
from nearlossless.selection import Subject
from nearlossless.shapes import counted_compiles, warmup_sizes
from nearlossless.timing import PairedLatencies, measure_alone, measure_pairs, synchronizer, timed
from nearlossless.upcasting import upcast_copy
from nearlossless.verdicts import Check
from nearlossless.worker import Job, ProcessRun

if TYPE_CHECKING:
    from PIL import Image


DENOISERS = ("transformer", "unet")


class BaselineError(Exception):
    """The baseline itself cannot be measured: nothing can be compared with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessRuns:
    """The baseline, where it fits, and the compiled pipeline, each in fresh processes."""

    baseline: ProcessRun | None
    cold: ProcessRun
    warm: ProcessRun


def measure_processes(
    subject: Subject, cache: Path, progress: Progress, baselines: dict[tuple[str, str], ProcessRun]
) -> ProcessRuns:
    """
    Run baseline, cold and warm processes one after the other; `cache` is empty before and primed after.

    `baselines` keeps the baseline's run of each case and device, which all its recipes share. Where the baseline does
    not fit, it is not run.

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
        if subject.baseline_does_not_fit is None and key not in baselines:
            baselines[key] = run("baseline", folder=cache / "baseline", recipe=None, variables={})
    except (WorkerError, BackendError) as error:
        raise BaselineError(f"the baseline's own process failed: {error}") from None
    variables = recipe.environment | TRIED
    cold = run("cold", folder=cache, recipe=recipe, variables=variables)
    warm = run("warm", folder=cache, recipe=recipe, variables=variables)
    return ProcessRuns(baseline=baselines.get(key), cold=cold, warm=warm)


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


def measure_speed(baseline: Any | None, compiled: Any, subject: Subject, progress: Progress) -> Speeds:
    """
    Paired latencies of a batch's call until the speedup is decided, then iteration speeds in calls of their own.

    Without a baseline, latencies of the compiled pipeline alone until its ceiling is decided.
    """
    case, synchronize = subject.case, synchronizer(subject.device)
    first = batches(case.generation)[0]
    draw_compiled = partial(draw_batch, compiled, case.generation, first)

    def tell(count: int, check: Check) -> None:
        if count % 5 == 0:
            progress.say(f"speedup: sample {count}, {check.outcome.lower()}")

    with progress.phase("speedup: warm-up"):
        if baseline is None:
            pairs = measure_alone(
                draw_compiled,
                sampling=case.sampling,
                max_latency_s=subject.thresholds.max_latency_s,
                synchronize=synchronize,
                progress=tell,
            )
        else:
            pairs = measure_pairs(
                partial(draw_batch, baseline, case.generation, first),
                draw_compiled,
                sampling=case.sampling,
                min_speedup=subject.thresholds.min_speedup,
                max_latency_s=subject.thresholds.max_latency_s,
                synchronize=synchronize,
                progress=tell,
            )
        return Speeds(
            baseline_s=pairs.baseline_s,
            compiled_s=pairs.compiled_s,
            baseline_steps_per_s=steps_per_second(baseline, case, synchronize) if baseline is not None else None,
            compiled_steps_per_s=steps_per_second(compiled, case, synchronize),
        )


def paired(speeds: Speeds) -> PairedLatencies:
    """The recorded pairs, as the judge takes them."""
    return PairedLatencies(speeds.baseline_s, speeds.compiled_s)


def cycle_sizes(baseline: Any | None, compiled: Any, subject: Subject, progress: Progress) -> list[SizeRecord]:
    """
    Warm up, then draw a batch at every size and count what each compiles; a size that fails does not end the cycle.

    Without a baseline no picture is compared; tripwires and wrong sizes are still found.
    """
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
    baseline: Any | None, compiled: Any, case: Case, batch: Batch, synchronize: Callable[[], None]
) -> SizeRecord:
    live = draw_batch(baseline, case.generation, batch) if baseline is not None else None
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


def compile_beside(baseline: Any, subject: Subject, progress: Progress) -> tuple[Any, Effect]:
    """
    The compiled pipeline, after one batch by it and proof that the baseline still draws what it drew.

    Returns:
        The pipeline, and what the recipe did to it.

    Raises:
        BackendError: The backend failed, its pipeline does not draw, or it silently fell back to eager.
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
        compiled, effect = _called_once(lambda: build_compiled(baseline, subject.recipe), subject)
        check_batch_unchanged(before, draw_baseline(first))
    return compiled, effect


def _called_once(build: Callable[[], Any], subject: Subject) -> tuple[Any, Effect]:
    """A compiled pipeline after its first batch, and what the recipe did to it."""
    generation = subject.case.generation
    with restored_torch_settings():
        with counted_compiles() as compiles:
            compiled = build()
            draw_batch(compiled, generation, batches(generation)[0])
        short = partial(draw_batch, compiled, generation, short_batch(generation))
        return compiled, measure_effect(compiled, subject.recipe, short, graphs=compiles.graphs)


def compile_alone(subject: Subject, progress: Progress) -> tuple[Any, Effect]:
    """
    The compiled pipeline where the baseline does not fit, after one batch by it.

    Returns:
        The pipeline, and what the recipe did to it.

    Raises:
        BackendError: The backend failed, its pipeline does not draw, or it silently fell back to eager.
    """
    with progress.phase("compiled pipeline alone: load, compile and first picture"):
        return _called_once(lambda: build_alone(subject.case, subject.recipe, subject.device), subject)


def measure_pictures(
    baseline: Any | None,
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

    Without a baseline the stored pictures are compared alone, and no candidate is written.

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
        draw_baseline = drawer(baseline, case) if baseline is not None else None
        for record in compare_pictures(draw_baseline, drawer(compiled, case), comparison):
            records.append(record)
            progress.say(f"pictures: {len(records)} of {total}")
    return records, comparison.written


def _denoiser(pipeline: Any) -> Any:
    return next((part for name in DENOISERS if callable(part := getattr(pipeline, name, None))), None)


def measure_parity(baseline: Any | None, compiled: Any, subject: Subject, progress: Progress) -> ParityRecord:
    """
    Step parity of the two pipelines' denoisers on the case's first request.

    Raises:
        BackendError: The compiled denoiser fails on the baseline's inputs.
    """
    reason = subject.baseline_does_not_fit or subject.recipe.not_applicable.get("parity")
    if reason is not None:
        return ParityRecord(not_applicable=reason)
    original, other = _denoiser(baseline), _denoiser(compiled)
    if original is None or other is None:
        whose = "baseline" if original is None else "compiled"
        return ParityRecord(problem=f"the {whose} pipeline has no {' or '.join(DENOISERS)} that can be called")
    generation, ceiling = subject.case.generation, subject.thresholds.max_parity_ratio
    steps = chosen_steps(generation.steps, generation.parity_steps)
    with progress.phase(f"step parity: {len(steps)} of {generation.steps} steps"):
        calls = record_calls(original, partial(draw_batch, baseline, generation, batches(generation)[0]), steps)
        if not calls:
            return ParityRecord(problem="the baseline pipeline drew without calling its denoiser")
        to = reference_dtype(calls[0].outputs)
        reference, parity = upcast_copy(original, to), ParityRecord(reference=str(to).removeprefix("torch."))
        for call in calls:
            step = compare_step(call, other, reference)
            parity.steps.append(step)
            if parity.divergence is None and is_parity_regression(step, subject.thresholds):
                progress.say(f"step parity: looking for what diverges at step {step.step + 1}")
                where = first_divergence(call, original, other, reference, max_ratio=ceiling or math.inf)
                parity.divergence = f"at step {step.step + 1} {where}"
    return parity
