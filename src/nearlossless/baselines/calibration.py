"""Calibrate: measure a case's noise floor on this hardware, keep it beside its pictures, propose bands."""

import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nearlossless.backends import BackendError, BackendUnavailable
from nearlossless.baselines.comparison import batch_scores, batch_tripped
from nearlossless.baselines.noise import Movement, NoiseFloor, noise_path, read_noise, with_margin, write_noise
from nearlossless.baselines.sidecars import picture_settings
from nearlossless.cases.case import Case, CaseError
from nearlossless.cases.files import find_case
from nearlossless.cases.thresholds import Band
from nearlossless.environment import Fingerprint
from nearlossless.fields import Device
from nearlossless.progress import Progress
from nearlossless.record import now
from nearlossless.runs.selection import Subject

if TYPE_CHECKING:
    from PIL import Image

    from nearlossless.measuring.benign import Benign
    from nearlossless.pipelines.requests import Batch

REPEATS = 5
AGAIN = "drawn again"
# Closer than this to the anchor, the next version of a library would be refused.
LEAST = Band(min_ssim=0.99, max_p99_difference=2, max_channel_shift=0.5, max_colour_difference=0.005)


def noise_settings(case: Case) -> dict[str, str]:
    """What decides the pictures of a case besides its identity."""
    generation = case.generation
    drawn = {
        "height": generation.height,
        "width": generation.width,
        "steps": generation.steps,
        **picture_settings(case),
    }
    return {name: str(value) for name, value in drawn.items()}


def stored_noise(subject: Subject, fingerprint: Fingerprint | None) -> Band | None:
    """
    The worst that benign changes did to this case's pictures on this hardware; None where nobody calibrated it so.

    Raises:
        CaseError: The file cannot be read.
    """
    if fingerprint is None:
        return None
    path = noise_path(subject.case_folder, fingerprint.picture)
    if not path.exists():
        return None
    try:
        floor = read_noise(path)
    except (OSError, ValueError) as error:
        raise CaseError(f"{error}; run nearlossless calibrate again") from None
    fits = floor.identity == fingerprint.picture and floor.settings == noise_settings(subject.case)
    return floor.worst if fits else None


def calibrate(baselines: Path, name: str, device: Device, progress: Progress) -> tuple[Path, NoiseFloor]:
    """
    Draw every picture of a case under benign changes, and write how far each moved.

    Returns:
        The file, and what is in it.

    Raises:
        CaseError: There is no such case, or its baseline cannot be built.
        BaselineError: The baseline does not draw, or no change could be made; nothing is written.
    """
    from nearlossless.measuring import BaselineError
    from nearlossless.measuring.benign import benign_changes
    from nearlossless.pipelines.loading import build_baseline, fingerprint_of
    from nearlossless.pipelines.requests import requests

    case = find_case(baselines, name)
    with progress.phase("baseline pipeline: load"):
        pipeline = build_baseline(case, device)
    identity = fingerprint_of(pipeline, case, device)
    with tempfile.TemporaryDirectory() as cache, progress.phase("noise floor"):
        changes = list(benign_changes(pipeline, case, device, Path(cache)))
        movements, distinct = measure_noise(pipeline, case, changes, progress)
    if not any(movement.scores for movement in movements[1:]):
        problems = "; ".join(f"{movement.change}: {movement.problem}" for movement in movements[1:])
        raise BaselineError(f"no benign change could be made here, nothing was written: {problems}")
    floor = NoiseFloor(
        created=now(),
        identity=identity.picture,
        stack=identity.stack,
        settings=noise_settings(case),
        pictures=len(requests(case.generation)),
        repeats=REPEATS,
        distinct=distinct,
        movements=movements,
    )
    path = noise_path(baselines / name, identity.picture)
    write_noise(path, floor)
    return path, floor


def measure_noise(
    pipeline: object, case: Case, changes: "Sequence[Benign]", progress: Progress
) -> tuple[list[Movement], list[int]]:
    """
    How far repeating and each change move each picture, and how many different pictures the repeats of each gave.

    No picture is kept after its batch.

    Raises:
        BaselineError: The baseline does not draw.
    """
    from nearlossless.measuring import baseline_drawer
    from nearlossless.pipelines.requests import batches

    draw, again, distinct = baseline_drawer(pipeline, case), Movement(change=AGAIN), list[int]()
    movements, drawn = [Movement(change=change.name) for change in changes], batches(case.generation)
    for number, batch in enumerate(drawn):
        place = f"noise floor: batch {number + 1} of {len(drawn)}"
        progress.say(place)
        live, *repeats = [draw(batch) for _ in range(REPEATS)]
        for picture, *versions in zip(live, *repeats, strict=True):
            others = {version.tobytes(): version for version in versions if version.tobytes() != picture.tobytes()}
            distinct.append(1 + len(others))
            moved = list(others.values()) or [picture]
            again.scores += batch_scores(moved, [picture] * len(moved))
        for change, movement in zip(changes, movements, strict=True):
            progress.begin(f"{place}, {change.name}")
            _move(movement, change, batch, live)
    return [again, *movements], distinct


def _move(movement: Movement, change: "Benign", batch: "Batch", live: "list[Image.Image]") -> None:
    """Add one batch's scores; a change that cannot be made here, or breaks the picture, keeps none."""
    if movement.problem is not None:
        return
    try:
        pictures = change.draw(batch)
    except (BackendError, BackendUnavailable) as error:  # an attention kernel that does not know the model, no compiler
        movement.problem, movement.scores = str(error), []
        return
    if tripped := batch_tripped(pictures, live, batch):
        movement.problem, movement.scores = f"is not benign here: drew {', '.join(tripped)}", []
        return
    movement.scores += batch_scores(pictures, live)


def proposed_band(floor: NoiseFloor) -> Band:
    """
    A band that the tried benign changes keep with their margin, and rounding to 8 bits too where nothing moved.

    Raises:
        ValueError: No benign change could be tried.
    """
    worst = with_margin(floor.worst)
    return Band(
        min_ssim=math.floor(min(worst.min_ssim or 0.0, LEAST.min_ssim or 0.0) * 1000) / 1000,
        max_p99_difference=max(math.ceil(worst.max_p99_difference or 0), LEAST.max_p99_difference or 0),
        max_channel_shift=_rounded_up(worst.max_channel_shift, LEAST.max_channel_shift),
        max_colour_difference=_rounded_up(worst.max_colour_difference, LEAST.max_colour_difference),
        pictures=floor.pictures,
    )


def _rounded_up(measured: float | None, least: float | None) -> float:
    return math.ceil(max(measured or 0.0, least or 0.0) * 10_000) / 10_000


def proposed_lines(floor: NoiseFloor) -> list[str]:
    """The proposed bands as a case file says them, with the reason that a looser one needs."""
    figures = proposed_band(floor).model_dump(exclude_none=True)
    because = f"nearlossless calibrate, {floor.created[:10]}: worst tile {floor.worst.min_ssim:.5f}"
    return [
        f'[overrides."{floor.identity.hardware}".thresholds]',
        f'because = "{because} of {floor.pictures} pictures under benign changes"',
        *(f"{anchor}.{name} = {value:g}" for anchor in ("live", "stored") for name, value in figures.items()),
    ]
