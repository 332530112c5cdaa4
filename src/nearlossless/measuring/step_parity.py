"""Step parity of a baseline and a compiled pipeline, and what diverges first."""

from typing import Any

from nearlossless.denoiser_calls import DenoiserCall, calls_at
from nearlossless.divergence import first_divergence
from nearlossless.gates import is_parity_regression
from nearlossless.measuring.recording import Recording, denoiser_of
from nearlossless.parity import chosen_steps, compare_step, reference_dtype
from nearlossless.pipelines.placing import bring_back
from nearlossless.progress import Progress
from nearlossless.record.quality import ParityRecord
from nearlossless.selection import Subject


def measure_parity(recording: Recording, compiled: Any, subject: Subject, progress: Progress) -> ParityRecord:
    """Step parity of the two pipelines' denoisers on the case's first batch, up to the step at which one fails."""
    reason = subject.recipe.not_applicable.get("parity")
    if reason is not None:
        return ParityRecord(not_applicable=reason)
    other = denoiser_of(compiled)
    if recording.problem is not None or other is None:
        return ParityRecord(
            problem=recording.problem or "the compiled pipeline has no transformer or unet that can be called"
        )
    generation, ceiling = subject.case.generation, subject.thresholds.max_parity_ratio
    calls = calls_at(chosen_steps(generation.steps, generation.parity_steps), recording.calls)
    parity = ParityRecord(reference=str(reference_dtype(calls[0].outputs)).removeprefix("torch."))
    with progress.phase(f"step parity: {len(calls)} of {generation.steps} steps"):
        try:
            for call in calls:
                step = compare_step(call, other, recording.exact(call))
                parity.steps.append(step)
                if ceiling is not None and parity.divergence is None and is_parity_regression(step, subject.thresholds):
                    progress.say(f"step parity: looking for what diverges at step {step.step + 1}")
                    parity.divergence = f"at step {step.step + 1} {_located(call, recording, other, ceiling)}"
                if step.ratio is None:  # nothing finite came back, or nothing at all: later steps say no more
                    break
        finally:
            for pipeline in (recording.pipeline, compiled):
                bring_back(pipeline)
    return parity


def _located(call: DenoiserCall, recording: Recording, other: Any, ceiling: float) -> str:
    """Words about where the denoisers part, or why that is not known: a regression stays one without it."""
    try:
        return first_divergence(call, recording.denoiser, other, recording.reference, max_ratio=ceiling)
    except Exception as error:
        return f"diverges, nobody can say where: {type(error).__name__}: {error}"
