"""A picture decoded once, with what every comparison with another one needs of it."""

import math
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from nearlossless.metrics.colour import oklab
from nearlossless.metrics.tiles import tile_means

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

SIGMA_PX = 1.5
RADIUS_PX = 5  # 11x11 pixels, as torchmetrics takes for this sigma
_UNSCALED = [math.exp(-0.5 * (offset / SIGMA_PX) ** 2) for offset in range(-RADIUS_PX, RADIUS_PX + 1)]
WEIGHTS = [weight / sum(_UNSCALED) for weight in _UNSCALED]
STRIP_ELEMENTS = 32768  # 256 KiB in float64


def blurred(planes_CHW: "Tensor") -> "Tensor":
    """
    Gaussian-weighted means around every pixel; the picture is mirrored at its border.

    The window is the product of two lines, so that it is summed over rows and then over columns: 22 multiplications a
    pixel instead of 121. They are done strip by strip, so that what they work on stays in the processor's cache.
    """
    import torch.nn.functional as F

    height, width = planes_CHW.shape[1:]
    means_CHW = planes_CHW.new_empty(planes_CHW.shape)
    rows = max(1, STRIP_ELEMENTS // (width + 2 * RADIUS_PX))
    for padded_HW, means_HW in zip(F.pad(planes_CHW, (RADIUS_PX,) * 4, mode="reflect"), means_CHW, strict=True):
        for top in range(0, height, rows):
            strip_HW = means_HW[top : top + rows]
            sums_HW = _weighted_sum(padded_HW.narrow(0, top, len(strip_HW) + 2 * RADIUS_PX), 0)
            strip_HW.copy_(_weighted_sum(sums_HW, 1))
    return means_CHW


def _weighted_sum(plane_HW: "Tensor", axis: int) -> "Tensor":
    """Of the pixels under the window, moved along one axis as far as it fits."""
    size = plane_HW.shape[axis] - 2 * RADIUS_PX
    sums_HW = plane_HW.narrow(axis, 0, size) * WEIGHTS[0]
    for start, weight in enumerate(WEIGHTS[1:], 1):
        sums_HW.add_(plane_HW.narrow(axis, start, size), alpha=weight)
    return sums_HW


class Scale:
    """A picture at one scale: values in [0, 1], their local means and variances, each of shape (C, H, W)."""

    def __init__(self, values_CHW: "Tensor") -> None:
        self.values_CHW = values_CHW

    @cached_property
    def mean(self) -> "Tensor":
        """Gaussian-weighted means."""
        return blurred(self.values_CHW)

    @cached_property
    def variance(self) -> "Tensor":
        """Gaussian-weighted variances, never negative."""
        squares_CHW = blurred(self.values_CHW.square())
        return squares_CHW.addcmul_(self.mean, self.mean, value=-1).clamp_(min=0)

    @cached_property
    def half(self) -> "Scale":
        """The next coarser scale: means of 2x2 pixels."""
        import torch.nn.functional as F

        return Scale(F.avg_pool2d(self.values_CHW, 2))


class Pixels:
    """
    An RGB picture as tensors; what was computed of it for one comparison is there for the next.

    After a full comparison it holds about 100 bytes a pixel.
    """

    def __init__(self, picture: "Image.Image") -> None:
        import torch

        pixels_HWC = np.array(picture.convert("RGB"))
        self.levels_CHW = torch.from_numpy(pixels_HWC).permute(2, 0, 1).contiguous()  # uint8

    @property
    def height(self) -> int:
        """In pixels."""
        return int(self.levels_CHW.shape[1])

    @property
    def width(self) -> int:
        """In pixels."""
        return int(self.levels_CHW.shape[2])

    @cached_property
    def scale(self) -> Scale:
        """The whole picture in [0, 1]; float64, since variances of flat areas cancel in float32."""
        return Scale(self.levels_CHW.double().div_(255))

    @cached_property
    def tile_colours(self) -> "Tensor":
        """Mean OKLab colour of each tile, of shape (3, rows, columns)."""
        return tile_means(oklab(self.levels_CHW))


def check_same_size(obtained: Pixels, expected: Pixels) -> None:
    """
    Only pictures of one size can be compared.

    Raises:
        ValueError: The sizes differ.
    """
    if obtained.levels_CHW.shape != expected.levels_CHW.shape:
        sizes = [(picture.width, picture.height) for picture in (obtained, expected)]
        raise ValueError(f"sizes differ: obtained {sizes[0]}, expected {sizes[1]}")
