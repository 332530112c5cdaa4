"""The noise floor: how far a case's pictures move on some hardware although nothing is wrong."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from nearlossless.atomic import write_text
from nearlossless.cases.thresholds import Band
from nearlossless.environment import PictureIdentity, hardware_folder
from nearlossless.metrics.figures import FIGURES
from nearlossless.metrics.scores import Scores

NOISE_FILE: Final = "noise.json"
_LARGEST_FILE = 1 << 24
# What nobody tried moves pictures too. On an NVIDIA H100 the furthest of eight pictures was 0.040 from its anchor while
# calibrating, 0.052 and 0.059 in two other processes that compiled the same.
MARGIN = 2.0
LEAST = 0.01  # of similarities and decibels: a band's are above 0, and SSIM can be below
_SLOW = ("max_flip", "max_lpips")  # need packages that the next run may lack


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="strings")


class Movement(_Part):
    """Every picture of a case under one benign change, beside the baseline's own."""

    change: str
    scores: list[Scores] = Field(default_factory=list)
    problem: str | None = None  # why it could not be tried here

    @field_validator("scores")
    @classmethod
    def _are_numbers(cls, scores: list[Scores]) -> list[Scores]:
        for figure in FIGURES:
            worst = figure.worst(scores)
            if worst is not None and (math.isnan(worst) or (math.isinf(worst) and figure.unit != "dB")):
                raise ValueError(f"{figure.name} is {worst}")
        return scores


class NoiseFloor(_Part):
    """What `nearlossless calibrate` measured. `distinct` counts the different pictures among the repeats of each."""

    schema_version: Literal[1] = 1
    created: str
    identity: PictureIdentity
    stack: dict[str, str]
    settings: dict[str, str]
    pictures: int = Field(ge=1)
    repeats: int = Field(ge=1)
    distinct: list[int] = Field(min_length=1)
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
    The worst of each figure, as near as a band can say it: similarities above 0, no PSNR of equal pictures.

    Raises:
        ValueError: There are no scores, or one is NaN.
    """
    found = list(scores)
    if not found:
        raise ValueError("no benign change could be tried")
    worst = {figure.field: figure.worst(found) for figure in FIGURES if figure.field not in _SLOW}
    return Band.model_validate({name: _within(name, value) for name, value in worst.items()})


def with_margin(worst: Band) -> Band:
    """What chance may do on hardware whose worst tried movement is this: `MARGIN` times as far."""
    figures = worst.model_dump(exclude_none=True)
    return Band.model_validate({name: _within(name, _further(name, value)) for name, value in figures.items()})


def _further(name: str, value: float) -> float:
    if name == "min_psnr_db":
        return value - 20 * math.log10(MARGIN)
    return 1 - MARGIN * (1 - value) if name.startswith("min_") else MARGIN * value


def _within(name: str, value: float | None) -> float | None:
    """A figure inside the limits of a band's; NaN stays NaN."""
    if value is None or math.isnan(value):
        return value
    if name == "min_psnr_db":
        return max(value, LEAST) if math.isfinite(value) else None
    if name.startswith("min_"):
        return min(max(value, LEAST), 1.0)
    return min(value, 1.0 if name == "max_colour_difference" else 255.0)


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
        ValueError: Too large, not JSON, another schema, figures that are none, or no figure at all.
        OSError: Unreadable.
    """
    if path.stat().st_size > _LARGEST_FILE:
        raise ValueError(f"{path}: is larger than {_LARGEST_FILE} bytes")
    try:
        floor = NoiseFloor.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{path}: {'.'.join(map(str, first['loc'])) or 'file'}: {first['msg']}") from None
    if not any(movement.scores for movement in floor.movements):
        raise ValueError(f"{path}: holds no scores")
    return floor
