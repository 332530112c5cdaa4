"""Replay of a recorded generation of the baseline through the compiled pipeline."""

from typing import Any

from nearlossless.baselines.comparison import batch_scores, batch_tripped
from nearlossless.measuring import drawer
from nearlossless.measuring.recording import Recording, decoded_latents, denoiser_of
from nearlossless.parity.replay import Player, played_by
from nearlossless.pipelines.requests import batches
from nearlossless.progress import Progress
from nearlossless.record.quality import ReplayRecord
from nearlossless.runs.selection import Subject


def measure_replay(recording: Recording, compiled: Any, subject: Subject, progress: Progress) -> ReplayRecord:
    """
    Everything around the compiled pipeline's denoiser, which the baseline's outputs stand in for.

    Raises:
        BackendError: The compiled pipeline fails on them.
    """
    from torch.nn import Module

    reason = subject.recipe.not_applicable.get("replay")
    if reason is not None:
        return ReplayRecord(not_applicable=reason)
    part = denoiser_of(compiled)
    if recording.problem is not None or not isinstance(part, Module):
        problem = recording.problem or "the compiled pipeline has no transformer or unet that others could stand in for"
        return ReplayRecord(problem=problem)
    player = Player(recording.calls)
    player.found.baseline_calls = len(recording.calls)
    batch = batches(subject.case.generation)[0]
    with progress.phase("replay"), played_by(part, player), decoded_latents(compiled) as decoded:
        pictures = drawer(compiled, subject.case)(batch)
    if not player.found.calls:
        player.found.problem = "the compiled pipeline drew without calling its denoiser"
    else:
        player.compare_decoded(recording.decoded, decoded)
    player.found.tripwires = batch_tripped(pictures, recording.pictures, batch)
    player.found.pictures = batch_scores(pictures, recording.pictures)
    return player.found
