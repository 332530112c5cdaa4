"""Is everything around the denoiser the baseline's?"""

import math

from nearlossless.cases.thresholds import Thresholds
from nearlossless.gates.bands import band_checks
from nearlossless.metrics.scores import Scores
from nearlossless.parity.steps import ROUNDING_RMS
from nearlossless.record.quality import InputKind, ReplayRecord
from nearlossless.verdicts import Check, Outcome, at_most, found

REPLAY = "replay"
# Encoders round at every layer: compiled in float32 the miniature's differ by 2 units, a wrong prompt by millions.
EMBEDDING_ROUNDINGS = 16.0


def replay_checks(replay: ReplayRecord, thresholds: Thresholds, *, no_pictures: str | None = None) -> list[Check]:
    """
    Whether all around the denoiser is the baseline's: number of steps, timesteps, latents, embeddings, decoded picture.

    The latents may differ by what rounding them anew at each call adds up to, timesteps and embeddings by a few units
    of rounding; embeddings of quantized encoders by `max_embedding_error`. The picture is held against `replay`, or
    against the live band where there is none.
    """
    flaw = _replay_flaw(replay)
    if flaw is not None:
        return [flaw]
    latents = ROUNDING_RMS * replay.eps * math.sqrt(replay.calls)
    allowed: dict[InputKind, float] = {
        "timestep": replay.eps,
        "latents": latents,
        "decoded": latents,
        "conditioning": thresholds.max_embedding_error or EMBEDDING_ROUNDINGS * replay.eps,
    }
    checks = [
        at_most(f"{REPLAY}, relative error", error.error, allowed[kind], of=error.name, note=f"call {error.call}")
        for kind, error in replay.errors.items()
    ]
    if no_pictures is not None:
        return checks
    if replay.tripwires:
        return [*checks, found(f"{REPLAY}, picture", Outcome.REGRESSION, ", ".join(replay.tripwires))]
    band = thresholds.replay if thresholds.replay.min_ssim is not None else thresholds.live
    pictures: list[Scores | None] = [*replay.pictures] or [None]
    return checks + [check for scores in pictures for check in band_checks(REPLAY, scores, band)]


def _replay_flaw(replay: ReplayRecord) -> Check | None:
    """What leaves no error to be judged."""
    if replay.not_applicable is not None:
        return found(REPLAY, Outcome.NOT_APPLICABLE, replay.not_applicable)
    if replay.problem is not None or not replay.baseline_calls:
        return found(REPLAY, Outcome.NOT_COMPARABLE, replay.problem or "nothing was played back")
    if replay.unlike is not None:
        return found(REPLAY, Outcome.REGRESSION, replay.unlike, of="inputs")
    if replay.calls != replay.baseline_calls:
        note = f"{replay.calls} calls of the denoiser, the baseline makes {replay.baseline_calls}"
        return found(REPLAY, Outcome.REGRESSION, note, of="steps")
    return None
