"""Colours as eyes see them (OKLab), and how far the colours of two pictures are apart; SSIM hardly sees colour."""

from typing import TYPE_CHECKING

from nearlossless.metrics.threads import one_thread
from nearlossless.metrics.tiles import tile_xywh

if TYPE_CHECKING:
    from torch import Tensor

    from nearlossless.metrics.pixels import Pixels

# Linear sRGB to the responses of the eye's cones, and their cube roots to OKLab.
LMS_OF_RGB = (
    (0.4122214708, 0.5363325363, 0.0514459929),
    (0.2119034982, 0.6806995451, 0.1073969566),
    (0.0883024619, 0.2817188376, 0.6299787005),
)
LAB_OF_ROOTS = (
    (0.2104542553, 0.7936177850, -0.0040720468),
    (1.9779984951, -2.4285922050, 0.4505937099),
    (0.0259040371, 0.7827717662, -0.8086757660),
)


def oklab(levels_CHW: "Tensor") -> "Tensor":
    """
    OKLab colour of each pixel: lightness in [0, 1], green to red and blue to yellow within about +-0.4.

    Args:
        levels_CHW: 8-bit sRGB.

    Source: Ottosson 2020, https://bottosson.github.io/posts/oklab/ (matrices of 2021); sRGB curve of IEC 61966-2-1.
    """
    import torch

    level = torch.arange(256, dtype=torch.float64) / 255
    light = torch.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)
    rgb_CN = light[levels_CHW.flatten(1).int()]
    roots_CN = (level.new_tensor(LMS_OF_RGB) @ rgb_CN).pow_(1 / 3)
    return (level.new_tensor(LAB_OF_ROOTS) @ roots_CN).view(levels_CHW.shape)


@one_thread()
def worst_colour_difference(obtained: "Pixels", expected: "Pixels") -> tuple[float, tuple[int, int, int, int]]:
    """
    Greatest distance between the mean colours of a tile in two pictures of one size, and where that tile lies.

    Returns:
        The Euclidean distance in OKLab (deltaEOK of CSS Color 4: about 0.02 is just noticeable), and x, y, width,
        height.
    """
    distances = (obtained.tile_colours - expected.tile_colours).norm(dim=0)
    return float(distances.max()), tile_xywh(int(distances.argmax()), obtained.height, obtained.width)
