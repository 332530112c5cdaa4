"""Metrics against independent references, and what trips the wires."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.metrics import structural_similarity

from nearlossless.cases import CaseError
from nearlossless.miniature import JUDGE
from nearlossless.miniature.world import draw, held_out_scenes, scene_at
from nearlossless.quality import clip_scorer, judge_folder, ssim, tile_side, tripwires

BORDER_PX = 6  # the two implementations pad differently: pictures that agree along the border do not show it


def noisy(picture: Image.Image, deviation: float, *, seed: int = 0, border: int = BORDER_PX) -> Image.Image:
    """The picture with noise everywhere but along its border."""
    pixels_HWC = np.asarray(picture, dtype=np.float64)
    noise_HWC = np.random.default_rng(seed).normal(0, deviation, pixels_HWC.shape)
    inner = (slice(border, -border), slice(border, -border))
    changed_HWC = pixels_HWC.copy()
    changed_HWC[inner] += noise_HWC[inner]
    return Image.fromarray(np.clip(np.rint(changed_HWC), 0, 255).astype(np.uint8))


def reference_map(a: Image.Image, b: Image.Image) -> np.ndarray:
    """Similarity at every pixel by scikit-image, as a mean over the channels."""
    _, map_HWC = structural_similarity(
        np.asarray(a, dtype=np.float64) / 255,
        np.asarray(b, dtype=np.float64) / 255,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=1.0,
        channel_axis=2,
        full=True,
    )
    return np.asarray(np.asarray(map_HWC).mean(axis=2))


def reference_tiles(a: Image.Image, b: Image.Image) -> dict[tuple[int, int, int, int], float]:
    """Mean similarity of each tile; tiles at the right and lower edge have what is left."""
    map_HW = reference_map(a, b)
    height, width = map_HW.shape
    side = max(16, min(height, width) // 8)
    tiles = {}
    for y in range(0, height, side):
        for x in range(0, width, side):
            tile_HW = map_HW[y : y + side, x : x + side]
            tiles[(x, y, tile_HW.shape[1], tile_HW.shape[0])] = float(tile_HW.mean())
    return tiles


SIZES = [(128, 128), (64, 96), (272, 144), (160, 96), (80, 240)]


@pytest.mark.parametrize(("index", "size"), enumerate(SIZES), ids=str)
@pytest.mark.parametrize("deviation", [2.0, 12.0, 60.0])
def test_worst_tile_agrees_with_scikit_image(index: int, size: tuple[int, int], deviation: float) -> None:
    """The worst tile has the value that scikit-image's map has there, the least of all."""
    picture = draw(scene_at(index), *size)
    changed = noisy(picture, deviation)
    assert ssim(changed, picture).worst_tile_ssim == pytest.approx(
        min(reference_tiles(changed, picture).values()), abs=1e-5
    )


@pytest.mark.parametrize(("index", "size"), enumerate(SIZES), ids=str)
def test_mean_agrees_with_scikit_image(index: int, size: tuple[int, int]) -> None:
    """The mean is that of scikit-image's map over the whole picture."""
    picture = draw(scene_at(index), *size)
    changed = noisy(picture, 12.0)
    # The two mirror pictures at their borders in different ways.
    assert ssim(changed, picture).mean_ssim == pytest.approx(reference_map(changed, picture).mean(), abs=5e-5)


@pytest.mark.parametrize(("column", "row"), [(0, 0), (3, 5), (7, 7), (7, 0)])
def test_degraded_tile_is_found(picture: Image.Image, column: int, row: int) -> None:
    """A picture with one degraded tile has that tile as its worst, with a clearly lower value."""
    pixels_HWC = np.array(picture)
    tile = (slice(16 * row, 16 * row + 16), slice(16 * column, 16 * column + 16))
    noise_HWC = np.random.default_rng(1).integers(0, 256, (16, 16, 3))
    pixels_HWC[tile] = noise_HWC.astype(np.uint8)
    similarity = ssim(Image.fromarray(pixels_HWC), picture)
    assert similarity.worst_tile_xywh == (16 * column, 16 * row, 16, 16)
    assert similarity.worst_tile_ssim < 0.3
    assert similarity.mean_ssim > 0.9


def test_worse_degradation_lowers_the_worst_tile(picture: Image.Image) -> None:
    """The value of the worst tile falls with the strength of what was done to it."""
    values = [ssim(noisy(picture, deviation), picture).worst_tile_ssim for deviation in (0.0, 2.0, 8.0, 32.0)]
    assert values == sorted(values, reverse=True)
    assert len(set(values)) == len(values)


def test_identical_pictures_have_similarity_one(picture: Image.Image) -> None:
    """A picture beside itself has similarity 1, as a mean and in its worst tile."""
    similarity = ssim(picture, picture.copy())
    assert (similarity.mean_ssim, similarity.worst_tile_ssim) == pytest.approx((1.0, 1.0), abs=1e-6)


def test_similarity_is_symmetric(picture: Image.Image) -> None:
    """It does not matter which of two pictures is the expected one."""
    other = noisy(picture, 12.0)
    assert ssim(other, picture).worst_tile_ssim == pytest.approx(ssim(picture, other).worst_tile_ssim, abs=1e-6)


def test_worst_tile_lies_inside_the_picture() -> None:
    """A tile at the edge that does not fill its square is told with the size that it has."""
    picture = draw(scene_at(2), 272, 144)
    pixels_HWC = np.array(picture)
    pixels_HWC[-2:] = 255 - pixels_HWC[-2:]
    x, y, width, height = ssim(Image.fromarray(pixels_HWC), picture).worst_tile_xywh
    assert x + width <= 144
    assert y + height <= 272


def test_other_size_is_an_error(picture: Image.Image) -> None:
    """Pictures of two sizes are not compared, and both sizes are told."""
    with pytest.raises(ValueError, match=r"\(64, 128\).*\(128, 128\)"):
        ssim(picture.crop((0, 0, 64, 128)), picture)


@pytest.mark.parametrize(
    ("size", "side"), [((128, 128), 16), ((16, 16), 16), ((144, 1024), 18), ((1024, 1024), 128), ((1024, 256), 32)]
)
def test_tile_is_an_eighth_of_the_shorter_side(size: tuple[int, int], side: int) -> None:
    """Tiles scale with the shorter side and never fall below 16 pixels."""
    assert tile_side(*size) == side


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


def test_judge_of_the_miniature_comes_with_the_package() -> None:
    """The miniature's own CLIP lies in the package."""
    assert judge_folder("miniature") == JUDGE


def test_judge_may_be_a_local_folder(tmp_path: Path) -> None:
    """Any local folder can be named."""
    assert judge_folder(str(tmp_path)) == tmp_path


def test_judge_that_is_no_folder_is_an_error() -> None:
    """A hub name is not silently downloaded."""
    with pytest.raises(CaseError, match="no local folder"):
        judge_folder("openai/clip-vit-base-patch16")


def test_judge_prefers_the_right_caption() -> None:
    """Pictures of captions that nobody trained on score higher with their own caption than with another's."""
    score, scenes = clip_scorer(JUDGE), held_out_scenes(12, seed=5)
    captions = [scene.caption for scene in scenes]
    wins = [
        score(draw(scene), captions[i]) > score(draw(scene), captions[(i + 1) % len(captions)])
        for i, scene in enumerate(scenes)
    ]
    assert sum(wins) >= 11


def test_score_repeats_and_lies_within_its_scale(picture: Image.Image) -> None:
    """The same picture and prompt give the same score, between 0 and 100."""
    score = clip_scorer(JUDGE)
    first = score(picture, "blue ring")
    assert 0 <= first <= 100
    assert score(picture, "blue ring") == first


@pytest.mark.parametrize("prompt", ["", "a castle by the sea at night, oil on canvas " * 20])
def test_any_prompt_can_be_scored(picture: Image.Image, prompt: str) -> None:
    """An empty prompt and one longer than the judge can read have a finite score."""
    assert 0 <= clip_scorer(JUDGE)(picture, prompt) <= 100
