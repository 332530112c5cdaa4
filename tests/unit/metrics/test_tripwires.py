"""What trips the wires, and what does not."""

import numpy as np
import pytest
from PIL import Image

from nearlossless.metrics.tripwires import tripwires
from nearlossless.miniature.world import draw, scene_at


@pytest.mark.parametrize("index", range(12))
def test_drawn_pictures_trip_nothing(index: int) -> None:
    """Sound pictures pass all tripwires."""
    assert tripwires(draw(scene_at(index))) == []


@pytest.mark.parametrize(
    ("colour", "tripped"),
    [
        ((0, 0, 0), ["black", "constant", "near-grey"]),
        ((4, 0, 4), ["black", "constant"]),
        ((5, 0, 5), ["constant"]),
        ((200, 40, 40), ["constant"]),
        ((128, 128, 128), ["constant", "near-grey"]),
        ((255, 255, 255), ["constant", "near-grey"]),
    ],
)
def test_picture_of_one_colour_trips(colour: tuple[int, int, int], tripped: list[str]) -> None:
    """A picture of one colour is constant, and black or near-grey where its colour is."""
    assert tripwires(Image.new("RGB", (64, 64), colour)) == tripped


def test_grey_noise_trips_near_grey() -> None:
    """A picture without any colour trips although its brightness varies."""
    noise_HW = np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.uint8)
    assert tripwires(Image.fromarray(noise_HW).convert("RGB")) == ["near-grey"]


def test_almost_constant_picture_trips() -> None:
    """Noise of a single level does not hide that there is nothing in a picture."""
    noise_HWC = np.random.default_rng(0).integers(-1, 2, (64, 64, 3))
    assert "constant" in tripwires(Image.fromarray((noise_HWC + np.array([200, 40, 40])).astype(np.uint8)))
