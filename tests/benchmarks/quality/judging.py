"""A change beside the baseline, on one seed, before our gate and the peers': one decision each."""

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from PIL import Image
from tests.benchmarks.quality.changes import Wrapped
from tests.benchmarks.quality.peers import PEERS

from nearlossless.baselines.calibration import measure_noise
from nearlossless.baselines.expected import expected_folder, write_expected
from nearlossless.baselines.noise import worst_of
from nearlossless.cases.case import Case
from nearlossless.cases.thresholds import Band
from nearlossless.environment import Fingerprint
from nearlossless.gates import judge_quality
from nearlossless.measuring import baseline_drawer
from nearlossless.measuring.benign import benign_changes
from nearlossless.measuring.pictures import measure_pictures
from nearlossless.measuring.recording import Recording, record_baseline
from nearlossless.measuring.replaying import measure_replay
from nearlossless.measuring.step_parity import measure_parity
from nearlossless.pipelines.loading import fingerprint_of
from nearlossless.pipelines.requests import batches
from nearlossless.progress import Progress
from nearlossless.runs.selection import Subject
from nearlossless.verdicts import Outcome

RECIPE = "inductor"  # whose thresholds judge: compilation alone, nothing lossy
SILENT = Progress(lambda _text: None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What each gate made of a change on one seed."""

    seed: int
    outcome: Outcome  # ours
    caught_by: list[str]  # our checks that are not green, by name
    worst_tile_ssim: float | None
    parity_ratio: float | None
    largest_difference: int  # of any pixel from the live baseline's, in levels of 255
    refused_by: list[str]  # peers
    expected: Path  # the last picture
    obtained: Path


class Remembered(Wrapped):
    """The baseline, which draws each request once."""

    def __init__(self, pipeline: Any) -> None:
        super().__init__(pipeline)
        self._drawn: dict[str, list[Image.Image]] = {}

    def __call__(self, **arguments: Any) -> Any:
        """The pictures of these arguments."""
        generators = arguments["generator"] if isinstance(arguments["generator"], list) else [arguments["generator"]]
        plain = {name: value for name, value in arguments.items() if name != "generator"}
        key = repr((plain, [generator.initial_seed() for generator in generators]))
        if key not in self._drawn:
            self._drawn[key] = super().__call__(**arguments).images
        return SimpleNamespace(images=[picture.copy() for picture in self._drawn[key]])


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """What changes are judged beside on one seed: the baseline, what it drew, what its denoiser computed."""

    baseline: Remembered
    subject: Subject
    fingerprint: Fingerprint
    recording: Recording
    noise: Band | None


def make_anchor(pipeline: Any, case: Case, folder: Path, noise: Band) -> Anchor:
    """
    Draw the case with the baseline and store its pictures as the expected ones.

    Args:
        pipeline: The baseline.
        case: Its prompts, on one seed.
        folder: Where the case's expected pictures are to lie; not shared with another case.
        noise: Floor of this hardware in the case's dtype.
    """
    subject = Subject(
        case=case, case_folder=folder, recipe_name=RECIPE, recipe=case.recipes[RECIPE], device="cpu", is_named=True
    )
    baseline, fingerprint = Remembered(pipeline), fingerprint_of(pipeline, case, "cpu")
    draw = baseline_drawer(baseline, case)
    for batch in batches(case.generation):
        for request, picture in zip(batch, draw(batch), strict=True):
            write_expected(
                expected_folder(folder, fingerprint.picture),
                case,
                request,
                picture,
                identity=fingerprint.picture,
                stack=fingerprint.stack,
                scores={},
            )
    recording = record_baseline(pipeline, case)
    return Anchor(baseline=baseline, subject=subject, fingerprint=fingerprint, recording=recording, noise=noise)


def measured_floor(pipeline: Any, case: Case, cache: Path) -> Band:
    """The noise floor as `nearlossless calibrate` measures it, on the shipped case's own prompts and seeds."""
    movements, _ = measure_noise(pipeline, case, list(benign_changes(pipeline, case, "cpu", cache)), SILENT)
    return worst_of(score for movement in movements for score in movement.scores)


def decide(changed: Any, anchor: Anchor, folder: Path) -> Decision:
    """
    Put a changed pipeline before our quality gate, as a run does, and the same pictures before the peers' gates.

    Args:
        changed: The pipeline after the change.
        anchor: Of the seed that is decided on.
        folder: Where the pictures are to lie.
    """
    subject = anchor.subject
    parity = measure_parity(anchor.recording, changed, subject, SILENT)
    replay = measure_replay(anchor.recording, changed, subject, SILENT)
    pictures, _ = measure_pictures(
        anchor.baseline, changed, subject, anchor.fingerprint, SILENT, report_folder=folder, update=False
    )
    verdict = judge_quality(pictures, subject.thresholds, parity, replay, noise=anchor.noise)
    pairs = [(folder / str(picture.baseline_file), folder / str(picture.obtained_file)) for picture in pictures]
    tiles = [picture.live.worst_tile_ssim for picture in pictures if picture.live is not None]
    return Decision(
        seed=subject.case.generation.seeds[0],
        outcome=verdict.outcome,
        caught_by=list(dict.fromkeys(check.name for check in verdict.checks if check.outcome not in _GREEN)),
        worst_tile_ssim=min(tiles, default=None),
        parity_ratio=max((step.ratio for step in parity.steps if step.ratio is not None), default=None),
        largest_difference=max(_largest_difference(*pair) for pair in pairs),
        refused_by=[peer.name for peer in PEERS if any(peer.refuses(*pair) for pair in pairs)],
        expected=pairs[-1][0],
        obtained=pairs[-1][1],
    )


def _largest_difference(expected: Path, obtained: Path) -> int:
    pixels = [np.asarray(Image.open(path), dtype=int) for path in (expected, obtained)]
    return int(abs(pixels[0] - pixels[1]).max())


_GREEN = (Outcome.PASS, Outcome.NOT_APPLICABLE)
