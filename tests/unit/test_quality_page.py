"""The figures in docs/quality.md and the bands in docs/thresholds.md are those that the code computes."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from nearlossless.baselines.calibration import proposed_lines
from nearlossless.baselines.noise import read_noise
from nearlossless.cases.case import Case
from nearlossless.metrics.figures import FIGURES
from nearlossless.metrics.pixels import Pixels
from nearlossless.metrics.scores import compare
from nearlossless.report.noise import render_noise

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "quality.md").read_text(encoding="utf-8")
Array = npt.NDArray[np.float64]
Change = Callable[[Array], Array]
GREY = (0.299, 0.587, 0.114)  # luma of ITU-R BT.601


def darker(pixels_HWC: Array) -> Array:
    """3 % off every level."""
    return pixels_HWC * 0.97


def desaturated(pixels_HWC: Array) -> Array:
    """15 % of the way to grey."""
    grey_HW1: Array = (pixels_HWC @ np.array(GREY))[..., None]
    return pixels_HWC * 0.85 + grey_HW1 * 0.15


def gamma(pixels_HWC: Array) -> Array:
    """A display curve that is off by 10 %."""
    curved_HWC: Array = 255 * (pixels_HWC / 255) ** 1.1
    return curved_HWC


def tile(pixels_HWC: Array) -> Array:
    """Garbage in a square of a sixteenth of the side."""
    broken_HWC = pixels_HWC.copy()
    broken_HWC[40:48, 40:48] = np.random.default_rng(0).integers(0, 256, (8, 8, 3))
    return broken_HWC


def blurred(pixels_HWC: Array) -> Array:
    """Means of 2x2 pixels."""
    rows_HWC = pixels_HWC + np.roll(pixels_HWC, 1, 0)
    return (rows_HWC + np.roll(rows_HWC, 1, 1)) / 4


def shifted(pixels_HWC: Array) -> Array:
    """One pixel to the right."""
    return np.roll(pixels_HWC, 1, 1)


def rounded(pixels_HWC: Array) -> Array:
    """Every level off by one at most: no defect."""
    return pixels_HWC + np.random.default_rng(0).integers(-1, 2, pixels_HWC.shape)


CHANGES: dict[str, Change] = {
    "garbage in 8x8 pixels": tile,
    "one pixel to the right": shifted,
    "blur over 2x2 pixels": blurred,
    "red and blue swapped": lambda pixels_HWC: pixels_HWC[..., ::-1],
    "15 % less saturated": desaturated,
    "3 % darker": darker,
    "gamma 1.1": gamma,
    "every level off by at most 1 (no defect)": rounded,
}
DIGITS = {"min_ssim": 3, "max_p99_difference": 0, "max_channel_shift": 2, "max_colour_difference": 4}


def row(name: str, change: Change, picture: Image.Image, case: Case) -> str:
    """A defect's figures as the page shows them: bold where the miniature's live band on a CPU refuses them."""
    pixels_HWC = np.array(picture, dtype=np.float64)
    changed = Image.fromarray(np.clip(np.rint(change(pixels_HWC)), 0, 255).astype(np.uint8))
    scores, band = compare(Pixels(changed), Pixels(picture)), case.overrides["cpu"].thresholds.live
    cells = [name, f"{scores.mean_ssim:.3f}"]
    for figure in FIGURES:
        threshold = getattr(band, figure.field)
        if threshold is None:
            continue
        value = figure.of(scores)
        assert value is not None
        cell = f"{value:.{DIGITS[figure.field]}f}"
        is_refused = value < threshold if figure.is_floor else value > threshold
        cells.append(f"**{cell}**" if is_refused else cell)
    return f"| {' | '.join(cells)} |"


@pytest.mark.parametrize("name", CHANGES)
def test_defects_have_the_figures_of_the_page(name: str, picture: Image.Image, miniature_case: Case) -> None:
    """What each figure says of each defect is computed here, and stands so in the page."""
    assert row(name, CHANGES[name], picture, miniature_case) in PAGE


def test_noise_floor_of_the_docs_is_the_stored_one(shipped_baselines: Path) -> None:
    """The printed table and the bands are those of the noise floor which the miniature's case keeps."""
    floor = read_noise(shipped_baselines / "miniature" / "cpu-avx512-float32" / "noise.json")
    assert render_noise(floor, colour=False) in PAGE
    assert "\n".join(proposed_lines(floor)) in (DOCS / "thresholds.md").read_text(encoding="utf-8")
