"""The noise floor: how far a case's pictures move on some hardware although nothing is wrong."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nearlossless.atomic import write_text
from nearlossless.environment import PictureIdentity, hardware_folder
from nearlossless.metrics.scores import Scores
from nearlossless.thresholds import Band

NOISE_FILE: Final = "noise.json"
_LARGEST_FILE = 1 << 24
# Benign changes that nobody tried move pictures too: half as far again as the furthest of those that were tried.
MARGIN = 1.5


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="strings")


class Movement(_Part):
    """Every picture of a case under one benign change, beside the baseline's own."""

    change: str
    scores: list[Scores] = Field(default_factory=list)
    problem: str | None = None  # why it could not be tried here


class NoiseFloor(_Part):
    """What `nearlossless calibrate` measured. `distinct` counts the different pictures among the repeats of each."""

    schema_version: Literal[1] = 1
    created: str
    identity: PictureIdentity
    stack: dict[str, str]
    settings: dict[str, str]
    pictures: int
    repeats: int
    distinct: list[int]
    movements: list[Movement]

    @property
    def worst(self) -> Band:
        """The worst of each figure, over all pictures and changes."""
        return worst_of(score for movement in self.movements for score in movement.scores)

    @property
    def jumps(self) -> bool:
        """Whether some picture comes in a few versions: not always the same, and not each time another."""
        return any(1 < count < self.repeats for count in self.distinct)


def worst_of(scores: Iterable[Scores]) -> Band:
    """
    The worst of each figure.

    Raises:
        ValueError: There are no scores.
    """
    found = list(scores)
    if not found:
        raise ValueError("no benign change could be tried")
    ms_ssims = [score.ms_ssim for score in found if score.ms_ssim is not None]
    psnr = min(score.worst_tile_psnr_db for score in found)
    return Band(
        min_ssim=min(score.worst_tile_ssim for score in found),
        min_ms_ssim=min(ms_ssims, default=None),
        min_psnr_db=psnr if math.isfinite(psnr) else None,
        max_p99_difference=max(score.p99_difference for score in found),
        max_difference=max(score.max_difference for score in found),
        max_channel_shift=max(abs(shift) for score in found for shift in score.channel_shift),
        max_colour_difference=max(score.worst_tile_colour_difference for score in found),
        pictures=None,
    )


def with_margin(worst: Band) -> Band:
    """What chance may do on hardware whose worst tried movement is this: `MARGIN` times as far."""
    return Band(
        min_ssim=_further(worst.min_ssim),
        min_ms_ssim=_further(worst.min_ms_ssim),
        min_psnr_db=None if worst.min_psnr_db is None else worst.min_psnr_db - 20 * math.log10(MARGIN),
        max_p99_difference=_scaled(worst.max_p99_difference, 255),
        max_difference=_scaled(worst.max_difference, 255),
        max_channel_shift=_scaled(worst.max_channel_shift, 255),
        max_colour_difference=_scaled(worst.max_colour_difference, 1),
    )


def _further(similarity: float | None) -> float | None:
    return None if similarity is None else max(1 - MARGIN * (1 - similarity), 0.01)


def _scaled(difference: float | None, most: float) -> float | None:
    return None if difference is None else min(MARGIN * difference, most)


def noise_path(case_folder: Path, identity: PictureIdentity) -> Path:
    """Where a case's noise floor on some hardware lies."""
    return case_folder / hardware_folder(identity.hardware, identity.dtype) / NOISE_FILE


def write_noise(path: Path, floor: NoiseFloor) -> None:
    """Write it whole."""
    write_text(path, floor.model_dump_json(indent=1) + "\n")


def read_noise(path: Path) -> NoiseFloor:
    """
    Read a noise floor, as untrusted as any file.

    Raises:
        ValueError: Too large, not JSON, another schema, or figures that are none.
        OSError: Unreadable.
    """
    if path.stat().st_size > _LARGEST_FILE:
        raise ValueError(f"{path}: is larger than {_LARGEST_FILE} bytes")
    try:
        return NoiseFloor.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{path}: {'.'.join(map(str, first['loc'])) or 'file'}: {first['msg']}") from None
