"""Structural similarity (SSIM) of two pictures, at one scale and at five; it hardly sees colour."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from nearlossless.metrics.pixels import RADIUS_PX, Pixels, Scale, blurred, check_same_size
from nearlossless.metrics.threads import one_thread
from nearlossless.metrics.tiles import tile_means, tile_xywh

if TYPE_CHECKING:
    from torch import Tensor

C1, C2 = 0.01**2, 0.03**2  # for values in [0, 1]
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
SMALLEST_MS_SSIM_PX = 176  # torchmetrics refuses a shorter side: the coarsest scale would be no larger than the window


@dataclass(frozen=True, slots=True, kw_only=True)
class Similarity:
    """Structural similarity of a picture to another, over the whole and in its worst tile; `ms_ssim` if asked for."""

    mean_ssim: float
    worst_tile_ssim: float
    worst_tile_xywh: tuple[int, int, int, int]
    ms_ssim: float | None = None


class _Terms(NamedTuple):
    """The factors of SSIM at every pixel of one scale, each of shape (C, H, W)."""

    luminance: "Tensor"
    contrast: "Tensor"  # and structure


@one_thread()
def ssim(obtained: Pixels, expected: Pixels, *, multiscale: bool = False) -> Similarity:
    """
    Gaussian structural similarity, as a mean and in the worst tile.

    Args:
        obtained: A picture.
        expected: Another of the same size.
        multiscale: Also over five scales, where the shorter side has at least 176 pixels.

    Returns:
        Values in [-1, 1], `ms_ssim` in [0, 1]; 1 means identical.

    Raises:
        ValueError: The sizes differ.

    Source:
        Wang et al. 2004, doi:10.1109/TIP.2003.819861, and for several scales Wang et al. 2003,
        doi:10.1109/ACSSC.2003.1292216; window, borders and weights as in torchmetrics, with data_range 1.
    """
    check_same_size(obtained, expected)
    height, width = obtained.height, obtained.width
    terms = _terms(obtained.scale, expected.scale)
    contrast = _inner_mean(terms.contrast)
    map_CHW = terms.contrast.mul_(terms.luminance)
    tiles = tile_means(map_CHW).mean(0)
    multiscale = multiscale and min(height, width) >= SMALLEST_MS_SSIM_PX
    return Similarity(
        mean_ssim=float(map_CHW.mean()),
        worst_tile_ssim=float(tiles.min()),
        worst_tile_xywh=tile_xywh(int(tiles.argmin()), height, width),
        ms_ssim=_ms_ssim(contrast, obtained.scale, expected.scale) if multiscale else None,
    )


def _terms(obtained: Scale, expected: Scale) -> _Terms:
    means_CHW = obtained.mean * expected.mean
    covariance_CHW = blurred(obtained.values_CHW * expected.values_CHW).sub_(means_CHW)
    contrast = covariance_CHW.mul_(2).add_(C2).div_((obtained.variance + expected.variance).add_(C2))
    squares_CHW = obtained.mean.square().addcmul_(expected.mean, expected.mean)
    return _Terms(means_CHW.mul_(2).add_(C1).div_(squares_CHW.add_(C1)), contrast)


def _inner_mean(map_CHW: "Tensor") -> float:
    """The mean where the window does not reach over the border."""
    return float(map_CHW[:, RADIUS_PX:-RADIUS_PX, RADIUS_PX:-RADIUS_PX].mean())


def _ms_ssim(contrast: float, obtained: Scale, expected: Scale) -> float:
    """Weighted product of each scale's contrast and of the coarsest one's similarity; a negative one counts as 0."""
    factors = [contrast]
    for _ in SCALE_WEIGHTS[1:]:
        obtained, expected = obtained.half, expected.half
        terms = _terms(obtained, expected)
        factors.append(_inner_mean(terms.contrast))
    factors[-1] = float(terms.contrast.mul_(terms.luminance).mean())
    return math.prod(max(factor, 0.0) ** weight for factor, weight in zip(factors, SCALE_WEIGHTS, strict=True))
