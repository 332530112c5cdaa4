"""Tiles and where they lie."""

import pytest
import torch

from nearlossless.metrics.tiles import tile_means, tile_side, tile_xywh


@pytest.mark.parametrize(
    ("size", "side"), [((128, 128), 16), ((16, 16), 16), ((144, 1024), 18), ((1024, 1024), 128), ((1024, 256), 32)]
)
def test_tile_is_an_eighth_of_the_shorter_side(size: tuple[int, int], side: int) -> None:
    """Tiles scale with the shorter side and never fall below 16 pixels."""
    assert tile_side(*size) == side


@pytest.mark.parametrize(("height", "width"), [(128, 128), (272, 144), (100, 333), (17, 40)])
def test_tiles_cover_every_pixel_once(height: int, width: int) -> None:
    """The tiles' places count every pixel once, inside the picture, and their means are of those pixels."""
    map_CHW = torch.rand(2, height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    means_CT = tile_means(map_CHW).flatten(1)
    covered_HW = torch.zeros(height, width)
    for index in range(means_CT.shape[1]):
        x, y, w, h = tile_xywh(index, height, width)
        tile = (slice(y, y + h), slice(x, x + w))
        assert (w, h) == tuple(reversed(covered_HW[tile].shape))
        covered_HW[tile] += 1
        torch.testing.assert_close(means_CT[:, index], map_CHW[:, *tile].mean((1, 2)))
    assert bool((covered_HW == 1).all())
