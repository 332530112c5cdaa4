"""Step parity of a baseline and a compiled pipeline, and what diverges first."""

from functools import partial
from typing import Any

from nearlossless.backends import BackendError, denoiser
from nearlossless.divergence import first_divergence
from nearlossless.gates import is_parity_regression
from nearlossless.measuring import baseline_drawer
from nearlossless.parity import DenoiserCall, chosen_steps, compare_step, record_calls, reference_dtype
from nearlossless.pipelines.placing import bring_back, without_offload
from nearlossless.pipelines.requests import batches
from nearlossless.progress import Progress
from nearlossless.record import ParityRecord
from nearlossless.selection import Subject
from nearlossless.upcasting import upcast_copy


def _denoiser(pipeline: Any) -> Any:
    """The component that denoises, if it can be called alone; a user's own callable need not have one."""
    try:
        part = getattr(pipeline, denoiser(pipeline))
    except BackendError:
        return None
    return part if callable(part) else None


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
        return ParityRecord(problem=f"the {whose} pipeline has no transformer or unet that can be called")
    generation, ceiling = subject.case.generation, subject.thresholds.max_parity_ratio
    steps = chosen_steps(generation.steps, generation.parity_steps)
    with progress.phase(f"step parity: {len(steps)} of {generation.steps} steps"):
        calls = record_calls(original, partial(baseline_drawer(baseline, subject.case), batches(generation)[0]), steps)
        if not calls:
            return ParityRecord(problem="the baseline pipeline drew without calling its denoiser")
        to = reference_dtype(calls[0].outputs)
        with without_offload(baseline):  # a copy of the hooks would copy what they move
            reference = upcast_copy(original, to, device=calls[0].outputs[0].device)
        parity = ParityRecord(reference=str(to).removeprefix("torch."))
        try:
            for call in calls:
                step = compare_step(call, other, reference)
                parity.steps.append(step)
                if ceiling is not None and parity.divergence is None and is_parity_regression(step, subject.thresholds):
                    progress.say(f"step parity: looking for what diverges at step {step.step + 1}")
                    parity.divergence = f"at step {step.step + 1} {_located(call, original, other, reference, ceiling)}"
        finally:
            for pipeline in (baseline, compiled):
                bring_back(pipeline)
    return parity


def _located(call: DenoiserCall, original: Any, other: Any, reference: Any, ceiling: float) -> str:
    """Words about where the denoisers part, or why that is not known: a regression stays one without it."""
    try:
        return first_divergence(call, original, other, reference, max_ratio=ceiling)
    except Exception as error:
        return f"diverges, nobody can say where: {type(error).__name__}: {error}"
