"""OKLab against published values, and what SSIM does not see."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image

from nearlossless.metrics.colour import oklab, worst_colour_difference
from nearlossless.metrics.pixels import Pixels
from nearlossless.metrics.structure import ssim
from nearlossless.miniature.world import draw, scene_at


@pytest.mark.parametrize(
    ("rgb", "lab"),
    [
        ((255, 255, 255), (1.0, 0.0, 0.0)),
        ((0, 0, 0), (0.0, 0.0, 0.0)),
        ((255, 0, 0), (0.62796, 0.22486, 0.12585)),
        ((0, 255, 0), (0.86644, -0.23389, 0.17950)),
        ((0, 0, 255), (0.45201, -0.03246, -0.31153)),
        ((102, 51, 153), (0.44027, 0.08818, -0.13386)),
    ],
    ids=["white", "black", "red", "lime", "blue", "rebeccapurple"],
)
def test_named_colours_have_their_published_values(rgb: tuple[int, ...], lab: tuple[float, ...]) -> None:
    """CSS's named colours have the OKLab values that are published for them."""
    levels_CHW = torch.tensor(rgb, dtype=torch.uint8).view(3, 1, 1)
    assert oklab(levels_CHW).flatten().tolist() == pytest.approx(lab, abs=2e-5)


@pytest.mark.parametrize("level", [0, 10, 11, 128, 255])
def test_grey_has_no_colour(level: int) -> None:
    """Greys on both sides of the sRGB curve's break have lightness alone, the cube root of their light."""
    light = level / 255 / 12.92 if level <= 10 else ((level / 255 + 0.055) / 1.055) ** 2.4
    lightness, a, b = oklab(torch.full((3, 1, 1), level, dtype=torch.uint8)).flatten().tolist()
    assert (lightness, a, b) == pytest.approx((light ** (1 / 3), 0, 0), abs=1e-6)


def worst(change: Callable[[np.ndarray], np.ndarray], picture: Image.Image) -> tuple[float, tuple[int, ...], float]:
    """Worst colour difference, its place and the worst tile's SSIM after a change of the levels."""
    changed_HWC = np.clip(np.rint(change(np.array(picture, dtype=np.float64))), 0, 255).astype(np.uint8)
    obtained, expected = Pixels(Image.fromarray(changed_HWC)), Pixels(picture)
    distance, xywh = worst_colour_difference(obtained, expected)
    return distance, xywh, ssim(obtained, expected).worst_tile_ssim


def darker(pixels_HWC: np.ndarray) -> np.ndarray:
    """Every level 3 % lower."""
    return pixels_HWC * 0.97


def paler(pixels_HWC: np.ndarray) -> np.ndarray:
    """A tenth of the way to grey."""
    return np.asarray(pixels_HWC * 0.9 + pixels_HWC.mean(axis=2, keepdims=True) * 0.1)


def cast(pixels_HWC: np.ndarray) -> np.ndarray:
    """One tile 16 levels redder, or less red where it is red."""
    changed_HWC = pixels_HWC.copy()
    red_HW = changed_HWC[32:48, 96:112, 0]
    red_HW += 16 if red_HW.mean() < 128 else -16
    return changed_HWC


@pytest.mark.parametrize("change", [darker, paler, cast])
@pytest.mark.parametrize("index", range(3))
def test_colour_change_is_seen_where_ssim_is_blind(change: Callable[[np.ndarray], np.ndarray], index: int) -> None:
    """A slight change of colour that leaves the worst tile's SSIM high is far above what noise does to tile means."""
    distance, _, similarity = worst(change, draw(scene_at(index)))
    assert similarity > 0.9
    assert distance > 0.008


@pytest.mark.parametrize("index", range(3))
def test_invisible_noise_does_not_change_tile_colours(index: int) -> None:
    """Noise of 4 levels that SSIM calls a disaster leaves the mean colour of every tile where it was."""

    def noise(pixels_HWC: np.ndarray) -> np.ndarray:
        return pixels_HWC + np.random.default_rng(index).normal(0, 4, pixels_HWC.shape)

    distance, _, similarity = worst(noise, draw(scene_at(index), 256, 256))
    assert similarity < 0.95
    assert distance < 0.004


def test_cast_is_found_where_it_is(picture: Image.Image) -> None:
    """The worst colour lies in the tile that was changed."""
    assert worst(cast, picture)[1] == (96, 32, 16, 16)
