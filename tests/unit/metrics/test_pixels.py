"""A picture decoded once."""

import numpy as np
import pytest
import torch
from PIL import Image

from nearlossless.metrics import pixels
from nearlossless.metrics.colour import oklab
from nearlossless.metrics.pixels import Pixels
from nearlossless.metrics.scores import compare
from nearlossless.miniature.world import draw, scene_at


def test_values_are_levels_of_255(picture: Image.Image) -> None:
    """The first scale holds the levels in float64 over 255, channels first; the next one means of 2x2 pixels."""
    levels_HWC = np.asarray(picture)
    scale = Pixels(picture).scale
    assert scale.values_CHW.dtype == torch.float64
    assert np.array_equal(scale.values_CHW.permute(1, 2, 0).numpy(), levels_HWC / 255)
    means_HWC = levels_HWC.reshape(64, 2, 64, 2, 3).mean(axis=(1, 3)) / 255
    assert scale.half.values_CHW.permute(1, 2, 0).numpy() == pytest.approx(means_HWC)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA"])
def test_other_modes_become_rgb(picture: Image.Image, mode: str) -> None:
    """A picture of another mode has the three channels that its conversion to RGB has."""
    converted = picture.convert(mode)
    assert torch.equal(Pixels(converted).levels_CHW, Pixels(converted.convert("RGB")).levels_CHW)


def test_source_picture_may_change_afterwards(picture: Image.Image) -> None:
    """The levels are a copy."""
    held, before = Pixels(picture), np.array(picture)
    picture.paste((0, 0, 0), (0, 0, 64, 64))
    assert np.array_equal(held.levels_CHW.permute(1, 2, 0).numpy(), before)


def test_nothing_is_computed_twice_of_one_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside a second picture only what is of that picture or of the pair is computed, and the scores are the same."""
    work = {"blurred": 0, "oklab": 0}

    def blurred(planes_CHW: torch.Tensor) -> torch.Tensor:
        work["blurred"] += 1
        return unspied_blurred(planes_CHW)

    def colour(levels_CHW: torch.Tensor) -> torch.Tensor:
        work["oklab"] += 1
        return oklab(levels_CHW)

    unspied_blurred = pixels.blurred
    monkeypatch.setattr(pixels, "blurred", blurred)
    monkeypatch.setattr(pixels, "oklab", colour)
    obtained, live, stored = (Pixels(draw(scene_at(index), 192, 192)) for index in range(3))
    compare(obtained, live)
    assert work == {"blurred": 2 * 2 * 5, "oklab": 2}
    beside_stored = compare(obtained, stored)
    assert work == {"blurred": 3 * 2 * 5, "oklab": 3}
    fresh = compare(*(Pixels(draw(scene_at(index), 192, 192)) for index in (0, 2)))
    assert beside_stored == fresh
