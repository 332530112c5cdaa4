"""Square tiles of a picture: a defect in one of them is not averaged away by the rest."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

TILES_PER_SIDE = 8
SMALLEST_TILE_PX = 16


def tile_side(height: int, width: int) -> int:
    """Side of a square tile: an eighth of the shorter side, at least 16 pixels."""
    return max(SMALLEST_TILE_PX, min(height, width) // TILES_PER_SIDE)


def tile_means(map_CHW: "Tensor") -> "Tensor":
    """Means of a floating-point map over each tile, of shape (C, rows, columns)."""
    import torch.nn.functional as F

    height, width = map_CHW.shape[-2:]
    # A last tile that does not fill its square is averaged over the pixels that it has.
    return F.avg_pool2d(map_CHW, tile_side(height, width), ceil_mode=True, count_include_pad=False)


def tile_xywh(index: int, height: int, width: int) -> tuple[int, int, int, int]:
    """Where the tile with this index, counted row by row, lies in a picture, in pixels."""
    side = tile_side(height, width)
    row, column = divmod(index, -(-width // side))
    x, y = column * side, row * side
    return x, y, min(side, width - x), min(side, height - y)
