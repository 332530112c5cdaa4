"""How other projects compare two pictures by default, by their own code where it is on PyPI."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from PIL import Image

MPL, REGRESSIONS = "pytest-mpl", "pytest-regressions"
MAX_COSINE_DISTANCE = 1e-3  # diffusers' tests, `max_diff < 1e-3`
MIN_SGLANG_SSIM, MIN_SGLANG_PSNR_DB = 0.95, 28.0
MIN_ONEDIFF_SSIM = 0.6


@dataclass(frozen=True, slots=True)
class Peer:
    """A default gate of another project: the paths of the expected and the obtained PNG -> is it refused?"""

    name: str
    rule: str
    source: str
    refuses: Callable[[Path, Path], bool]


def _pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def _matplotlib(expected: Path, obtained: Path) -> bool:
    from matplotlib.testing.compare import compare_images
    from pytest_mpl.plugin import DEFAULT_TOLERANCE

    return compare_images(str(expected), str(obtained), tol=DEFAULT_TOLERANCE, in_decorator=True) is not None


def _regressions(expected: Path, obtained: Path) -> bool:
    from pytest_regressions.image_regression import ImageRegressionFixture

    threshold = inspect.signature(ImageRegressionFixture.check).parameters["diff_threshold"].default
    # The comparison itself needs none of the fixture's folders.
    fixture = ImageRegressionFixture(*cast("tuple[Any, Any, Any]", (None, None, None)))
    try:
        fixture._check_images_manhattan_distance(obtained, expected, expect_equal=True, diff_threshold=threshold)
    except AssertionError:
        return True
    return False


def _cosine_distance(expected: np.ndarray, obtained: np.ndarray) -> float:
    from diffusers.utils.testing_utils import numpy_cosine_similarity_distance

    flat = (pixels.astype(np.float64).flatten() / 255 for pixels in (expected, obtained))
    return float(numpy_cosine_similarity_distance(*flat))


def _not_below(distance: float, limit: float) -> bool:
    """NaN, the distance from a black picture, is not below anything."""
    return not distance < limit


def _corner(expected: Path, obtained: Path) -> bool:
    slices = (_pixels(path)[-3:, -3:, -1] for path in (expected, obtained))
    return _not_below(_cosine_distance(*slices), MAX_COSINE_DISTANCE)


def _whole(expected: Path, obtained: Path) -> bool:
    return _not_below(_cosine_distance(_pixels(expected), _pixels(obtained)), MAX_COSINE_DISTANCE)


def _sglang(expected: Path, obtained: Path) -> bool:
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    pixels = _pixels(expected), _pixels(obtained)
    if np.array_equal(*pixels):
        return False  # its PSNR is infinite
    similarity = structural_similarity(*pixels, channel_axis=2, data_range=255)
    return not (similarity > MIN_SGLANG_SSIM and peak_signal_noise_ratio(*pixels, data_range=255) > MIN_SGLANG_PSNR_DB)


def _onediff(expected: Path, obtained: Path) -> bool:
    from skimage.metrics import structural_similarity

    pixels = _pixels(expected), _pixels(obtained)
    return not structural_similarity(*pixels, channel_axis=2, win_size=3) > MIN_ONEDIFF_SSIM


PEERS = (
    Peer(MPL, "RMS <= 2 of 255", "its package, default tolerance", _matplotlib),
    Peer(REGRESSIONS, "mean difference <= 0.1 %", "its package, default threshold", _regressions),
    Peer("diffusers, corner", "cosine distance of a 3x3 corner < 1e-3", "its package, its tests' limit", _corner),
    Peer("diffusers, whole", "cosine distance of the picture < 1e-3", "its package, its tests' limit", _whole),
    Peer("SGLang", "SSIM > 0.95 and PSNR > 28 dB", "scikit-image, called as it calls it", _sglang),
    Peer("OneDiff", "SSIM > 0.6", "scikit-image, called as its CI calls it", _onediff),
)
NOT_RUN = {
    "nunchaku": (
        "LPIPS < 1.10 to 1.15 times an expected value. LPIPS compares features of an AlexNet or VGG whose weights no"
        " package on PyPI carries, and the expected values are those of nunchaku's own quantized models."
    ),
}
