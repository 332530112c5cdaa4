"""The session's compiled pipeline, beside its baseline or alone, proved before anything is measured with it."""

from collections.abc import Callable
from functools import partial
from typing import Any

from nearlossless.effect import Effect, measure_effect
from nearlossless.measuring import baseline_drawer
from nearlossless.pipelines.compiling import build_alone, build_compiled, check_batch_unchanged
from nearlossless.pipelines.drawing import draw_batch
from nearlossless.pipelines.requests import batches, short_batch
from nearlossless.progress import Progress
from nearlossless.runs.selection import Subject
from nearlossless.shapes.counting import counted_compiles
from nearlossless.torch_settings import restored_torch_settings


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
    draw_baseline, first = baseline_drawer(baseline, subject.case), batches(subject.case.generation)[0]
    with progress.phase("baseline pipeline: first pictures"):
        before = [draw_baseline(first), draw_baseline(first)]
        if any(a.tobytes() != b.tobytes() for a, b in zip(*before, strict=True)):
            before.append(draw_baseline(first))  # it does not repeat itself: three show its spread
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
        effect = measure_effect(compiled, subject.recipe, short, graphs=compiles.graphs)
        return compiled, effect.model_copy(update={"graph_breaks": compiles.graph_breaks, "frames": compiles.frames})


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
