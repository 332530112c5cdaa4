"""Differences of levels against numpy and scikit-image, and where they are blind."""

import math

import numpy as np
import pytest
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

from nearlossless.metrics.levels import LevelDifferences, level_differences
from nearlossless.metrics.pixels import Pixels
from nearlossless.miniature.world import draw, scene_at


def differences(obtained_HWC: np.ndarray, expected_HWC: np.ndarray) -> LevelDifferences:
    """Differences of two arrays of levels."""
    return level_differences(
        *(Pixels(Image.fromarray(array.astype(np.uint8))) for array in (obtained_HWC, expected_HWC))
    )


@pytest.mark.parametrize("deviation", [0.4, 2.0, 20.0])
@pytest.mark.parametrize("size", [(128, 128), (272, 144), (33, 70)])
def test_figures_agree_with_numpy_and_scikit_image(size: tuple[int, int], deviation: float) -> None:
    """Every figure is what numpy and scikit-image say of the same levels."""
    expected = np.array(draw(scene_at(1), *size))
    noise = np.random.default_rng(1).normal(0.5, deviation, expected.shape)
    obtained = np.clip(np.rint(expected + noise), 0, 255).astype(np.uint8)
    signed = obtained.astype(int) - expected
    found = differences(obtained, expected)
    assert found.psnr_db == pytest.approx(peak_signal_noise_ratio(expected, obtained, data_range=255))
    assert found.p99_difference == np.quantile(np.abs(signed), 0.99, method="inverted_cdf")
    assert found.max_difference == np.abs(signed).max()
    assert found.channel_shift == pytest.approx(tuple(signed.mean(axis=(0, 1))))


def test_identical_pictures_are_infinitely_near(picture: Image.Image) -> None:
    """Nothing differs: decibels are infinite and every difference is 0."""
    found = differences(np.array(picture), np.array(picture))
    assert (found.psnr_db, found.worst_tile_psnr_db) == (math.inf, math.inf)
    assert (found.p99_difference, found.max_difference, found.channel_shift) == (0, 0, (0, 0, 0))


@pytest.mark.parametrize(("changed", "p99"), [(100, 0), (101, 255)])
def test_p99_turns_at_one_percent(changed: int, p99: int) -> None:
    """One percent of the values may differ by any amount; one value more shows."""
    expected = np.zeros((40, 250, 3))
    obtained = expected.copy()
    obtained.reshape(-1)[: 3 * changed - 2] = 255
    assert differences(obtained, expected).p99_difference == p99


def test_worst_tile_is_told_apart_from_the_whole(picture: Image.Image) -> None:
    """A difference in one of 64 tiles is 64 times as strong there: 18 dB below the whole."""
    obtained = np.array(picture)
    obtained[16:32, 32:48] ^= 64
    found = differences(obtained, np.array(picture))
    assert found.psnr_db - found.worst_tile_psnr_db == pytest.approx(10 * math.log10(64))
    assert found.worst_tile_psnr_db == pytest.approx(20 * math.log10(255 / 64))


def test_sign_of_a_shift_is_kept(picture: Image.Image) -> None:
    """A channel that is darker than expected has a negative shift, and the unsigned figures do not wrap around."""
    expected = np.clip(np.array(picture), 0, 250)
    brighter = expected + np.array([0, 5, 3], dtype=np.uint8)
    assert differences(brighter, expected).channel_shift == pytest.approx((0, 5, 3))
    darker = differences(expected, brighter)
    assert darker.channel_shift == pytest.approx((0, -5, -3))
    assert (darker.max_difference, darker.p99_difference) == (5, 5)
