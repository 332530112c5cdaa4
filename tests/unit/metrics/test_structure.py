"""Structural similarity against scikit-image and torchmetrics."""

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter
from skimage.metrics import structural_similarity
from torchmetrics.functional.image import (
    multiscale_structural_similarity_index_measure,
    structural_similarity_index_measure,
)

from nearlossless.metrics.pixels import Pixels, blurred
from nearlossless.metrics.structure import SMALLEST_MS_SSIM_PX, Similarity, ssim
from nearlossless.miniature.world import draw, scene_at

TOLERANCE = 1e-5
BORDER_PX = 6  # the two implementations pad differently: pictures that agree along the border do not show it


def alike(obtained: Image.Image, expected: Image.Image) -> Similarity:
    """Similarity of two PIL pictures over as many scales as their size allows."""
    return ssim(Pixels(obtained), Pixels(expected), multiscale=True)


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
    assert alike(changed, picture).worst_tile_ssim == pytest.approx(
        min(reference_tiles(changed, picture).values()), abs=1e-5
    )


@pytest.mark.parametrize(("index", "size"), enumerate(SIZES), ids=str)
def test_mean_agrees_with_scikit_image(index: int, size: tuple[int, int]) -> None:
    """The mean is that of scikit-image's map over the whole picture."""
    picture = draw(scene_at(index), *size)
    changed = noisy(picture, 12.0)
    # The two mirror pictures at their borders in different ways.
    assert alike(changed, picture).mean_ssim == pytest.approx(reference_map(changed, picture).mean(), abs=5e-5)


@pytest.mark.parametrize(("column", "row"), [(0, 0), (3, 5), (7, 7), (7, 0)])
def test_degraded_tile_is_found(picture: Image.Image, column: int, row: int) -> None:
    """A picture with one degraded tile has that tile as its worst, with a clearly lower value."""
    pixels_HWC = np.array(picture)
    tile = (slice(16 * row, 16 * row + 16), slice(16 * column, 16 * column + 16))
    noise_HWC = np.random.default_rng(1).integers(0, 256, (16, 16, 3))
    pixels_HWC[tile] = noise_HWC.astype(np.uint8)
    similarity = alike(Image.fromarray(pixels_HWC), picture)
    assert similarity.worst_tile_xywh == (16 * column, 16 * row, 16, 16)
    assert similarity.worst_tile_ssim < 0.3
    assert similarity.mean_ssim > 0.9


def test_worse_degradation_lowers_the_worst_tile(picture: Image.Image) -> None:
    """The value of the worst tile falls with the strength of what was done to it."""
    values = [alike(noisy(picture, deviation), picture).worst_tile_ssim for deviation in (0.0, 2.0, 8.0, 32.0)]
    assert values == sorted(values, reverse=True)
    assert len(set(values)) == len(values)


def test_identical_pictures_have_similarity_one(picture: Image.Image) -> None:
    """A picture beside itself has similarity 1, as a mean and in its worst tile."""
    similarity = alike(picture, picture.copy())
    assert (similarity.mean_ssim, similarity.worst_tile_ssim) == pytest.approx((1.0, 1.0), abs=1e-6)


def test_similarity_is_symmetric(picture: Image.Image) -> None:
    """It does not matter which of two pictures is the expected one."""
    other = noisy(picture, 12.0)
    assert alike(other, picture).worst_tile_ssim == pytest.approx(alike(picture, other).worst_tile_ssim, abs=1e-6)


def test_worst_tile_lies_inside_the_picture() -> None:
    """A tile at the edge that does not fill its square is told with the size that it has."""
    picture = draw(scene_at(2), 272, 144)
    pixels_HWC = np.array(picture)
    pixels_HWC[-2:] = 255 - pixels_HWC[-2:]
    x, y, width, height = alike(Image.fromarray(pixels_HWC), picture).worst_tile_xywh
    assert x + width <= 144
    assert y + height <= 272


def test_other_size_is_an_error(picture: Image.Image) -> None:
    """Pictures of two sizes are not compared, and both sizes are told."""
    with pytest.raises(ValueError, match=r"\(64, 128\).*\(128, 128\)"):
        alike(picture.crop((0, 0, 64, 128)), picture)


def random_pair(height: int, width: int) -> tuple[Image.Image, Image.Image]:
    """Two pictures of random levels."""
    pixels_NHWC = np.random.default_rng(height).integers(0, 256, (2, height, width, 3)).astype(np.uint8)
    return Image.fromarray(pixels_NHWC[0]), Image.fromarray(pixels_NHWC[1])


def drawn_pair(height: int, width: int) -> tuple[Image.Image, Image.Image]:
    """A drawn picture with flat areas, and it with noise up to its border."""
    picture = draw(scene_at(3), height, width)
    changed_HWC = np.asarray(picture) + np.random.default_rng(0).normal(0, 12, (height, width, 3))
    return Image.fromarray(np.clip(np.rint(changed_HWC), 0, 255).astype(np.uint8)), picture


def other_pair(height: int, width: int) -> tuple[Image.Image, Image.Image]:
    """Two drawn pictures of different scenes."""
    return draw(scene_at(4), height, width), draw(scene_at(5), height, width)


PAIRS = [make(*size) for make in (random_pair, drawn_pair, other_pair) for size in [(64, 96), (176, 208), (272, 400)]]


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: f"{pair[0].width}x{pair[0].height}")
def test_similarity_agrees_with_torchmetrics(pair: tuple[Image.Image, Image.Image]) -> None:
    """Mean and worst tile are those of torchmetrics' map, borders included, and so is the similarity over scales."""
    values = [Pixels(picture).scale.values_CHW[None] for picture in pair]
    mean, map_1CHW = structural_similarity_index_measure(*values, data_range=1.0, return_full_image=True)
    similarity = alike(*pair)
    x, y, width, height = similarity.worst_tile_xywh
    assert similarity.mean_ssim == pytest.approx(float(mean), abs=TOLERANCE)
    assert similarity.worst_tile_ssim == pytest.approx(
        float(map_1CHW[0, :, y : y + height, x : x + width].mean()), abs=TOLERANCE
    )
    if min(pair[0].size) >= SMALLEST_MS_SSIM_PX:
        expected = multiscale_structural_similarity_index_measure(*values, data_range=1.0)
        assert similarity.ms_ssim == pytest.approx(float(expected), abs=TOLERANCE)


def test_large_picture_agrees_with_torchmetrics() -> None:
    """So it is at 1024x1024, where torchmetrics in float32 is exact enough as long as no area is flat."""
    expected = np.asarray(random_pair(1024, 1024)[0])
    noise_HWC = np.random.default_rng(0).normal(0, 60, expected.shape)
    pair = Image.fromarray(np.clip(expected + noise_HWC, 0, 255).astype(np.uint8)), Image.fromarray(expected)
    values = [Pixels(picture).scale.values_CHW[None].float() for picture in pair]
    similarity = alike(*pair)
    mean = structural_similarity_index_measure(*values, data_range=1.0)
    over_scales = multiscale_structural_similarity_index_measure(*values, data_range=1.0)
    assert similarity.mean_ssim == pytest.approx(float(mean), abs=TOLERANCE)
    assert similarity.ms_ssim == pytest.approx(float(over_scales), abs=TOLERANCE)


@pytest.mark.parametrize("size", [(176, 300), (300, 176)])
def test_smallest_size_for_several_scales(size: tuple[int, int]) -> None:
    """A side of 176 pixels has a similarity over scales; one pixel less has none, and torchmetrics refuses it."""
    large, small = drawn_pair(*size), drawn_pair(min(size[0], 175), min(size[1], 175))
    assert alike(*large).ms_ssim is not None
    assert alike(*small).ms_ssim is None
    with pytest.raises(ValueError, match="must be larger than 160"):
        multiscale_structural_similarity_index_measure(*(Pixels(picture).scale.values_CHW[None] for picture in small))


def test_scales_are_computed_where_asked_for() -> None:
    """Without it no similarity over scales is computed."""
    assert ssim(*map(Pixels, drawn_pair(176, 176))).ms_ssim is None


def test_inverted_picture_has_no_similarity_over_scales() -> None:
    """Negative contrasts count as none instead of becoming complex numbers."""
    picture = random_pair(176, 176)[0]
    similarity = alike(Image.fromarray(255 - np.asarray(picture)), picture)
    assert similarity.mean_ssim < -0.5
    assert similarity.ms_ssim == 0


def test_garbage_in_one_tile_hides_in_the_mean() -> None:
    """A block of noise of 1/16 of the side leaves mean and scales near 1 and is seen in the worst tile."""
    picture = draw(scene_at(6), 512, 512)
    pixels_HWC = np.array(picture)
    pixels_HWC[256:288, 320:352] = np.random.default_rng(0).integers(0, 256, (32, 32, 3))
    similarity = alike(Image.fromarray(pixels_HWC), picture)
    assert min(similarity.mean_ssim, similarity.ms_ssim or 0) > 0.98
    assert similarity.worst_tile_ssim < 0.8
    assert similarity.worst_tile_xywh == (320, 256, 64, 64)


def test_blurring_agrees_with_scipy() -> None:
    """The window is scipy's Gaussian of that width and reach, mirrored without repeating the border."""
    values_CHW = Pixels(random_pair(40, 64)[0]).scale.values_CHW
    expected = [gaussian_filter(plane, 1.5, radius=5, mode="mirror") for plane in values_CHW.numpy()]
    assert blurred(values_CHW).numpy() == pytest.approx(np.stack(expected), abs=1e-12)
