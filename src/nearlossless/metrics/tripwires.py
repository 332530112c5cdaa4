"""What broken pipelines draw."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

_BLACK_LEVEL, _FLAT_DEVIATION, _GREY_CHROMA = 4.0, 2.0, 1.0  # in levels of 255


def tripwires(picture: "Image.Image") -> list[str]:
    """Names of what is wrong: black (also from NaN), constant or near-grey. Empty: nothing found."""
    pixels_HWC = np.asarray(picture.convert("RGB"), dtype=np.float32)
    tripped = []
    if pixels_HWC.max() <= _BLACK_LEVEL:
        tripped.append("black")
    if pixels_HWC.std(axis=(0, 1)).max() <= _FLAT_DEVIATION:
        tripped.append("constant")
    if np.ptp(pixels_HWC, axis=2).mean() <= _GREY_CHROMA:
        tripped.append("near-grey")
    return tripped
