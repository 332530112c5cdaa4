"""What each size, and each other change between calls, compiles and draws after warm-up."""

from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from nearlossless.accepting.accepted import accepted_warmup, compiling_versions
from nearlossless.backends import BackendError
from nearlossless.baselines.comparison import Draw, batch_ssim, batch_tripped
from nearlossless.cases.case import Case
from nearlossless.effect import Effect
from nearlossless.environment import Fingerprint
from nearlossless.measuring import baseline_drawer, drawer
from nearlossless.measuring.size_latencies import size_latencies
from nearlossless.pipelines.requests import Batch, Variation, other_variations, size_variations
from nearlossless.processes.environment import cache_folders
from nearlossless.progress import Progress
from nearlossless.record.shapes import SizeRecord, WarmupCounts, WarmupRecord
from nearlossless.runs.selection import Subject
from nearlossless.shapes.counting import Compiles, counted_compiles, warmup_sizes
from nearlossless.shapes.recompiles import counted_recordings, is_refusal, refusing_compiles, told_compiles
from nearlossless.shapes.time_limit import TimeLimitReached, time_limit
from nearlossless.speed.quiet import watch_of
from nearlossless.speed.timing import synchronizer, timed

if TYPE_CHECKING:
    from PIL import Image


class Cycle(NamedTuple):
    """What warm-up compiled and could not draw, and what each call after it did."""

    warmup: Compiles
    failed: list[str]
    sizes: list[SizeRecord]


def cycle_sizes(baseline: Any | None, compiled: Any, subject: Subject, progress: Progress) -> Cycle:
    """
    Warm up, then draw every size and variation and count what each compiles; one that fails does not end the cycle.

    Without a baseline no picture is compared; tripwires and wrong sizes are still found.
    """
    case, sizes = subject.case, size_variations(subject.case.generation)
    others, records = other_variations(case.generation, case.shapes), list[SizeRecord]()
    first = [sizes[case.generation.sizes.index(size)] for size in warmup_sizes(case.generation.sizes)]
    with progress.phase("shapes: warm-up"):
        warmup, failed = _warm_up(compiled, case, [*first, *(each for each in others if each.is_warmup)])
    cycle = [*sizes, *others]
    with progress.phase(f"shapes: 0 of {len(cycle)} calls"):
        for number, variation in enumerate(cycle, 1):
            records.append(_call(baseline, compiled, subject, variation))
            progress.step("shapes: calls", number, len(cycle))
    return Cycle(warmup, failed, records)


def warmup_record(
    cycle: Cycle, subject: Subject, effect: Effect | None, fingerprint: Fingerprint | None
) -> WarmupRecord | None:
    """What first call and warm-up compiled together, beside what is accepted; None for what Dynamo does not see."""
    if effect is None or fingerprint is None or subject.recipe.transforms:
        return None
    counts = WarmupCounts(
        graphs=effect.graphs + cycle.warmup.graphs,
        graph_breaks=effect.graph_breaks + cycle.warmup.graph_breaks,
        frames=effect.frames + cycle.warmup.frames,
    )
    versions = compiling_versions(fingerprint, subject.recipe)
    accepted = accepted_warmup(subject.case_folder, subject.recipe_name, fingerprint, versions)
    return WarmupRecord(
        versions=versions,
        counts=counts,
        accepted=accepted if isinstance(accepted, WarmupCounts) else None,
        problem=accepted if isinstance(accepted, str) else None,
        failed=cycle.failed,
    )


def _warm_up(compiled: Any, case: Case, variations: list[Variation]) -> tuple[Compiles, list[str]]:
    failed = []
    with counted_compiles() as compiles:
        for variation in variations:
            try:
                _limited(drawer(compiled, _guided(case, variation)), case, variation.batch)
            except BackendError as error:  # the cycle comes back to it
                failed.append(str(error))
    return compiles, failed


def _guided(case: Case, variation: Variation) -> Case:
    generation = case.generation.model_copy(update={"guidance_scale": variation.guidance_scale})
    return case.model_copy(update={"generation": generation})


def _limited(draw: Draw, case: Case, batch: Batch) -> "list[Image.Image]":
    try:
        with time_limit(case.shapes.limit_s, "shapes.limit_s"):
            return draw(batch)
    except TimeLimitReached as error:  # between the end of the call and that of the limit
        raise BackendError(str(error)) from error


def _call(baseline: Any | None, compiled: Any, subject: Subject, variation: Variation) -> SizeRecord:
    batch, case = variation.batch, _guided(subject.case, variation)
    size = SizeRecord(height=batch[0].height, width=batch[0].width, variation=variation.name, compiles=0, latency_s=0.0)
    draw_baseline = partial(_limited, baseline_drawer(baseline, case), case, batch) if baseline is not None else None
    draw_compiled = partial(_limited, drawer(compiled, case), case, batch)
    live: list[Image.Image] | None = None
    if draw_baseline is not None:
        live = []
        size.baseline_s.append(_timed(draw_baseline, live, subject))
    obtained = _watched(draw_compiled, subject, size)
    if obtained:
        size.problems += batch_tripped(obtained, live, batch)
        size.live_worst_tile_ssim = batch_ssim(obtained, live)
    if subject.device == "cuda" and draw_baseline is not None and not (size.problems or size.compiles):
        _pair(draw_baseline, draw_compiled, subject, size)
    return size


def _timed(draw: Any, pictures: "list[Image.Image]", subject: Subject) -> float:
    return timed(lambda: pictures.extend(draw()), synchronize=synchronizer(subject.device))


def _watched(draw: Any, subject: Subject, size: SizeRecord) -> "list[Image.Image]":
    """
    Draw once where torch refuses to compile, and again where it did, to see what it compiles; empty where it failed.

    The counters decide: in some versions torch also refuses frames that it would have left alone.
    """
    for guard in (refusing_compiles, nullcontext):
        obtained: list[Image.Image] = []
        before = _kernel_files(subject)
        with counted_recordings() as recordings, told_compiles() as told, counted_compiles() as compiles:
            try:
                with guard():
                    size.latency_s = _timed(draw, obtained, subject)
            except BackendError as error:
                if guard is refusing_compiles and is_refusal(str(error)):
                    continue
                size.problems.append(str(error))
        size.compiles, size.recompiles, size.recordings = compiles.total, told, recordings()
        size.kernel_files = sorted(_kernel_files(subject) - before)
        size.compiled_s = [size.latency_s] if not size.problems else []
        return obtained
    return []


def _kernel_files(subject: Subject) -> set[str]:
    """Files in the cache folders of this run, where the backend's compilations move no counter of Dynamo's."""
    if not subject.recipe.transforms:
        return set()
    return {
        f"{folder.name}/{path.relative_to(folder)}"
        for folder in cache_folders()
        for path in folder.rglob("*")
        if path.is_file()
    }


def _pair(draw_baseline: Any, draw_compiled: Any, subject: Subject, size: SizeRecord) -> None:
    try:
        pairs = size_latencies(
            draw_baseline,
            draw_compiled,
            sampling=subject.case.sampling,
            min_speedup=subject.thresholds.min_size_speedup,
            watch=watch_of(subject.device),
            synchronize=synchronizer(subject.device),
        )
    except BackendError as error:
        size.problems.append(str(error))
        return
    size.baseline_s, size.compiled_s, size.set_aside = pairs.baseline_s, pairs.compiled_s, pairs.set_aside
