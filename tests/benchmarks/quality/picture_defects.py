"""Defects of the finished picture: colour, place, encoding."""

import io
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter
from tests.benchmarks.quality.changes import Wrapped

TILES = 16  # sides of a corrupted tile that make one of the picture's
JPEG_QUALITY = 75  # Pillow's and most programs' own


def _pixels(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture, dtype=np.float64)


def _picture(pixels_HWC: np.ndarray) -> Image.Image:
    return Image.fromarray(pixels_HWC.round().clip(0, 255).astype(np.uint8))


def black(pipeline: Any) -> Any:
    """The picture is black."""
    return Wrapped(pipeline, after=lambda picture: Image.new("RGB", picture.size))


def grey(pipeline: Any) -> Any:
    """The picture has lost its colour."""
    return Wrapped(pipeline, after=lambda picture: picture.convert("L").convert("RGB"))


def channels_swapped(pipeline: Any) -> Any:
    """Red and blue are taken for each other."""
    return Wrapped(pipeline, after=lambda picture: Image.merge("RGB", picture.split()[::-1]))


def gamma(pipeline: Any) -> Any:
    """The picture's gamma is off by 10 %."""
    return Wrapped(pipeline, after=lambda picture: _picture(255 * (_pixels(picture) / 255) ** 1.1))


def darker(pipeline: Any) -> Any:
    """The picture is 3 % darker."""
    return Wrapped(pipeline, after=lambda picture: _picture(0.97 * _pixels(picture)))


def desaturated(pipeline: Any) -> Any:
    """The picture has lost 10 % of its saturation."""
    return Wrapped(pipeline, after=lambda picture: ImageEnhance.Color(picture).enhance(0.9))


def colour_cast(pipeline: Any) -> Any:
    """Red is 3 % too strong."""
    return Wrapped(pipeline, after=lambda picture: _picture(_pixels(picture) * [1.03, 1.0, 1.0]))


def range_squeezed(pipeline: Any) -> Any:
    """The picture's values are those of video, 16 to 235."""
    return Wrapped(pipeline, after=lambda picture: _picture(16 + _pixels(picture) * 219 / 255))


def highlights_clipped(pipeline: Any) -> Any:
    """Values above 220 are cut off."""
    return Wrapped(pipeline, after=lambda picture: _picture(_pixels(picture).clip(0, 220)))


def colour_depth_lost(pipeline: Any) -> Any:
    """Five bits a channel are left."""
    return Wrapped(pipeline, after=lambda picture: _picture(_pixels(picture) // 8 * 8))


def shifted_by_a_pixel(pipeline: Any) -> Any:
    """The picture lies one pixel too far to the right."""

    def shifted(picture: Image.Image) -> Image.Image:
        return _picture(np.pad(_pixels(picture), ((0, 0), (1, 0), (0, 0)), mode="edge")[:, :-1])

    return Wrapped(pipeline, after=shifted)


def tile_corrupted(pipeline: Any) -> Any:
    """One tile, a sixteenth of the side, is noise."""

    def corrupted(picture: Image.Image) -> Image.Image:
        pixels, side = _pixels(picture).copy(), picture.height // TILES
        noise = np.random.default_rng(0).integers(0, 256, (side, side, 3))
        pixels[5 * side : 6 * side, 9 * side : 10 * side] = noise
        return _picture(pixels)

    return Wrapped(pipeline, after=corrupted)


def rows_unwritten(pipeline: Any) -> Any:
    """The last two rows are black, as where a kernel leaves the rest of a block unwritten."""

    def unwritten(picture: Image.Image) -> Image.Image:
        pixels = _pixels(picture).copy()
        pixels[-2:] = 0
        return _picture(pixels)

    return Wrapped(pipeline, after=unwritten)


def blurred(pipeline: Any) -> Any:
    """The picture is blurred by 0.7 pixels."""
    return Wrapped(pipeline, after=lambda picture: picture.filter(ImageFilter.GaussianBlur(0.7)))


def jpeg(pipeline: Any) -> Any:
    """The picture was once a JPEG of quality 75."""

    def compressed(picture: Image.Image) -> Image.Image:
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=JPEG_QUALITY)
        return Image.open(buffer).convert("RGB")

    return Wrapped(pipeline, after=compressed)
