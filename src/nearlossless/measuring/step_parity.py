"""Step parity of a baseline and a compiled pipeline, and what diverges first."""

import math
from collections.abc import Sequence
from typing import Any

from nearlossless.cases.thresholds import Thresholds
from nearlossless.gates import is_parity_regression
from nearlossless.measuring.recording import Recording, denoiser_of
from nearlossless.parity.blocks import compare_blocks, first_divergence
from nearlossless.parity.denoiser_calls import DenoiserCall, calls_at
from nearlossless.parity.steps import chosen_steps, compare_step, reference_dtype, worst
from nearlossless.pipelines.placing import bring_back
from nearlossless.progress import Progress
from nearlossless.record.quality import ParityRecord
from nearlossless.runs.selection import Subject


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
    generation = subject.case.generation
    calls = calls_at(chosen_steps(generation.steps, generation.parity_steps), recording.calls)
    parity = ParityRecord(reference=str(reference_dtype(calls[0].outputs)).removeprefix("torch."))
    with progress.phase(f"step parity: {len(calls)} of {generation.steps} steps"):
        try:
            for call in calls:
                parity.steps.append(compare_step(call, other, recording.exact(call)))
                if (
                    parity.steps[-1].ratio is None
                ):  # nothing finite came back, or nothing at all: later steps say no more
                    break
            _look_into_blocks(parity, calls, recording, other, subject.thresholds, progress)
        finally:
            for pipeline in (recording.pipeline, compiled):
                bring_back(pipeline)
    return parity


def _look_into_blocks(
    parity: ParityRecord,
    calls: Sequence[DenoiserCall],
    recording: Recording,
    other: Any,
    thresholds: Thresholds,
    progress: Progress,
) -> None:
    """Parity by block at the first failing step, or at the worst; whatever becomes of it, the steps' is judged."""
    failing = [step for step in parity.steps if is_parity_regression(step, thresholds)]
    step = failing[0] if failing else worst(parity.steps)
    call = calls[parity.steps.index(step)]
    where = f"at step {step.step + 1}"
    progress.say(f"step parity: block by block {where}")
    try:
        parity.blocks = compare_blocks(call, recording.denoiser, other, recording.reference)
        found = first_divergence(parity.blocks, max_ratio=thresholds.max_parity_ratio or math.inf)
    except Exception as error:
        found = f"diverges, nobody can say where: {type(error).__name__}: {error}"
    if failing and thresholds.max_parity_ratio is not None:
        parity.divergence = f"{where} {found}"
