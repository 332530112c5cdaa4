"""Step parity of a baseline and a compiled pipeline, and what diverges first."""

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from nearlossless.backends import BackendError, denoiser
from nearlossless.divergence import first_divergence
from nearlossless.gates import is_parity_regression
from nearlossless.measuring import baseline_drawer
from nearlossless.parity import (
    DenoiserCall,
    chosen_steps,
    compare_step,
    record_calls,
    reference_dtype,
    reference_outputs,
)
from nearlossless.pipelines.placing import bring_back, without_offload
from nearlossless.pipelines.requests import batches
from nearlossless.progress import Progress
from nearlossless.record import ParityRecord
from nearlossless.selection import Subject
from nearlossless.upcasting import upcast_copy

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module


def denoiser_of(pipeline: Any) -> Any:
    """The component that denoises, if it can be called alone; a user's own callable need not have one."""
    try:
        part = getattr(pipeline, denoiser(pipeline))
    except BackendError:
        return None
    return part if callable(part) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedSteps:
    """What the baseline's denoiser was given and returned at the chosen steps, and what the reference makes of it."""

    calls: list[DenoiserCall]
    reference: "Module"
    exact: "list[list[Tensor]]"  # the reference's outputs, one list a call
    precision: str


def record_steps(baseline: Any, subject: Subject) -> RecordedSteps | None:
    """Draw the case's first request with the baseline; None where that calls no denoiser."""
    generation, original = subject.case.generation, denoiser_of(baseline)
    steps = chosen_steps(generation.steps, generation.parity_steps)
    calls = record_calls(original, partial(baseline_drawer(baseline, subject.case), batches(generation)[0]), steps)
    if not calls:
        return None
    to = reference_dtype(calls[0].outputs)
    with without_offload(baseline):  # a copy of the hooks would copy what they move
        reference = upcast_copy(original, to, device=calls[0].outputs[0].device)
    exact = [reference_outputs(call, reference) for call in calls]
    return RecordedSteps(calls=calls, reference=reference, exact=exact, precision=str(to).removeprefix("torch."))


def measure_parity(
    baseline: Any | None,
    compiled: Any,
    subject: Subject,
    progress: Progress,
    *,
    recorded: RecordedSteps | None = None,
) -> ParityRecord:
    """
    Step parity of the two pipelines' denoisers on the case's first request.

    Args:
        baseline: None where it does not fit.
        compiled: Its denoiser is given what the baseline's was given.
        subject: Names case and thresholds.
        progress: Told which step is looked at.
        recorded: What `record_steps` kept of this baseline and case, where several compiled pipelines share it.

    Raises:
        BackendError: The compiled denoiser fails on the baseline's inputs.
    """
    reason = subject.baseline_does_not_fit or subject.recipe.not_applicable.get("parity")
    if reason is not None:
        return ParityRecord(not_applicable=reason)
    original, other = denoiser_of(baseline), denoiser_of(compiled)
    if original is None or other is None:
        whose = "baseline" if original is None else "compiled"
        return ParityRecord(problem=f"the {whose} pipeline has no transformer or unet that can be called")
    generation, ceiling = subject.case.generation, subject.thresholds.max_parity_ratio
    steps = chosen_steps(generation.steps, generation.parity_steps)
    with progress.phase(f"step parity: {len(steps)} of {generation.steps} steps"):
        recorded = recorded or record_steps(baseline, subject)
        if recorded is None:
            return ParityRecord(problem="the baseline pipeline drew without calling its denoiser")
        parity = ParityRecord(reference=recorded.precision)
        try:
            for call, exact in zip(recorded.calls, recorded.exact, strict=True):
                step = compare_step(call, other, exact)
                parity.steps.append(step)
                if ceiling is not None and parity.divergence is None and is_parity_regression(step, subject.thresholds):
                    progress.say(f"step parity: looking for what diverges at step {step.step + 1}")
                    located = _located(call, original, other, recorded.reference, ceiling)
                    parity.divergence = f"at step {step.step + 1} {located}"
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
