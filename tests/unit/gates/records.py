"""What the tests of the gates judge: records whose figures are sound unless a test says otherwise."""

from collections.abc import Callable
from typing import Any

from tests.scores import scores

from nearlossless.cases.thresholds import Band, Thresholds
from nearlossless.gates import judge_quality
from nearlossless.processes.job import ProcessRun
from nearlossless.record.quality import InputError, ParityRecord, PictureRecord, ReplayRecord, StepParity
from nearlossless.verdicts import Outcome, Verdict

QUALITY = Thresholds(
    max_parity_ratio=1.5,
    live=Band(min_ssim=0.99),
    stored=Band(min_ssim=0.98),
    foreign=Band(min_ssim=0.9),
    max_clip_drop=0.5,
)


ABSENT = ParityRecord(not_applicable="the baseline does not fit this GPU")
MakeRun = Callable[..., ProcessRun]


def replay_record(**changes: object) -> ReplayRecord:
    """Twelve calls with the baseline's inputs and picture, with `changes` made to it."""
    inputs = {"latents": "hidden_states", "timestep": "timestep", "conditioning": "encoder_hidden_states"}
    sound: dict[str, object] = {
        "calls": 12,
        "baseline_calls": 12,
        "eps": 0.125,
        "errors": {kind: InputError(name=name, call=1, error=0.0) for kind, name in inputs.items()},
        "pictures": [scores(1.0)],
    }
    return ReplayRecord.model_validate(sound | changes)


ALIKE = replay_record()


def picture_record(**changes: object) -> PictureRecord:
    """A picture that is the same beside both anchors, with `changes` made to it."""
    sound: dict[str, object] = {
        "prompt": "blue ring",
        "seed": 20,
        "height": 128,
        "width": 128,
        "live": scores(1.0),
        "stored": scores(1.0),
        "baseline_clip": 25.0,
        "obtained_clip": 25.0,
        "stored_clip": 25.0,
    }
    return PictureRecord.model_validate(sound | changes)


def step_parity(**changes: object) -> StepParity:
    """A step at which the compiled denoiser is as exact as the baseline's, with `changes` made to it."""
    sound: dict[str, object] = {
        "step": 0,
        "reference_rms": 1.0,
        "baseline_rms": 1e-7,
        "compiled_rms": 1e-7,
        "baseline_max": 5e-7,
        "compiled_max": 5e-7,
        "baseline_bias": 0.0,
        "compiled_bias": 0.0,
        "ratio": 1.0,
        "max_ratio": 1.0,
        "bias_share": 0.0,
    }
    return StepParity.model_validate(sound | changes)


SOUND = ParityRecord(steps=[step_parity()], reference="float64")
NO_BASELINE = "its peak exceeds this GPU's memory"


def outcomes_of(verdict: Verdict) -> dict[str, Outcome]:
    """The outcome of each kind of check."""
    return {check.name: check.outcome for check in verdict.checks}


def replayed(thresholds: Thresholds = QUALITY, **changes: Any) -> Verdict:
    """The quality gate's answer to sound pictures and a replay with changes."""
    return judge_quality([picture_record()], thresholds, SOUND, replay_record(**changes))
