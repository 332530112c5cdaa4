"""All scores of two pictures together."""

import math

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from nearlossless.metrics.pixels import Pixels
from nearlossless.metrics.scores import Scores, compare
from nearlossless.miniature.world import draw, scene_at


def scores(obtained: Image.Image, expected: Image.Image) -> Scores:
    """Scores of two PIL pictures."""
    return compare(Pixels(obtained), Pixels(expected))


def test_identical_pictures_have_perfect_scores() -> None:
    """A picture beside itself is as good as each score goes."""
    picture = draw(scene_at(0), 176, 192)
    perfect = scores(picture, picture.copy())
    assert (perfect.mean_ssim, perfect.worst_tile_ssim, perfect.ms_ssim) == pytest.approx((1, 1, 1))
    assert (perfect.psnr_db, perfect.worst_tile_psnr_db) == (math.inf, math.inf)
    assert (perfect.p99_difference, perfect.max_difference, perfect.channel_shift) == (0, 0, (0, 0, 0))
    assert perfect.worst_tile_colour_difference == 0
    assert not perfect.flip
    assert not perfect.lpips


def test_invisible_noise_and_garbage_are_told_apart() -> None:
    """Noise nobody sees lowers SSIM's mean further than garbage in one tile does; the other scores know better."""
    picture = draw(scene_at(6), 512, 512)
    random = np.random.default_rng(0)
    noise_HWC, garbage_HWC = np.array(picture, dtype=np.float64), np.array(picture)
    noise_HWC += random.normal(0, 6, noise_HWC.shape)
    garbage_HWC[256:320, 320:384] = random.integers(0, 256, (64, 64, 3))
    noise = scores(Image.fromarray(np.clip(np.rint(noise_HWC), 0, 255).astype(np.uint8)), picture)
    garbage = scores(Image.fromarray(garbage_HWC), picture)
    assert noise.mean_ssim < 0.9
    assert noise.worst_tile_psnr_db > 30
    assert noise.p99_difference < 24
    assert noise.max_difference < 40
    assert noise.worst_tile_colour_difference < 0.01
    assert garbage.mean_ssim > 0.97
    assert garbage.worst_tile_psnr_db < 15
    assert garbage.p99_difference > 48
    assert garbage.worst_tile_ssim < 0.1
    assert garbage.worst_tile_colour_difference > 0.05
    assert garbage.worst_tile_xywh == garbage.worst_colour_xywh == (320, 256, 64, 64)


def test_other_size_is_an_error(picture: Image.Image) -> None:
    """Pictures of two sizes are not compared, and both sizes are told."""
    with pytest.raises(ValueError, match=r"\(64, 128\).*\(128, 128\)"):
        scores(picture.crop((0, 0, 64, 128)), picture)


def test_scores_survive_json(picture: Image.Image) -> None:
    """Infinite decibels and absent scores are what they were after writing and reading."""
    before = scores(picture, picture)
    assert Scores.model_validate_json(before.model_dump_json()) == before
    assert before.ms_ssim is None


def test_scores_are_not_changed_afterwards(picture: Image.Image) -> None:
    """What was measured stays, and no other score slips in."""
    found = scores(picture, picture)
    with pytest.raises(ValidationError, match="frozen"):
        found.mean_ssim = 0.5  # type: ignore[misc]
    with pytest.raises(ValidationError, match="sharpness"):
        Scores.model_validate(found.model_dump() | {"sharpness": 1.0})
