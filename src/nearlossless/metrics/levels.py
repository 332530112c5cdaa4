"""How far two pictures are apart, in levels of 255 and in decibels."""

import math
from dataclasses import dataclass

from nearlossless.metrics.pixels import Pixels, check_same_size
from nearlossless.metrics.threads import one_thread
from nearlossless.metrics.tiles import tile_means


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelDifferences:
    """
    Differences of 8-bit levels; decibels are infinite where there is none.

    `p99_difference` is the least level that 99 % of all differences, taken without sign, do not exceed.
    `channel_shift` is the mean of obtained - expected in red, green and blue.
    """

    psnr_db: float
    worst_tile_psnr_db: float
    p99_difference: int
    max_difference: int
    channel_shift: tuple[float, float, float]


@one_thread()
def level_differences(obtained: Pixels, expected: Pixels) -> LevelDifferences:
    """
    Compare level by level.

    Raises:
        ValueError: The sizes differ.
    """
    import torch

    check_same_size(obtained, expected)
    difference_CHW = obtained.levels_CHW.to(torch.int16) - expected.levels_CHW
    counts = torch.bincount(difference_CHW.abs().flatten(), minlength=256)
    squares_1HW = difference_CHW.double().square_().mean(0, keepdim=True)
    red, green, blue = difference_CHW.mean((1, 2), dtype=torch.float64).tolist()
    return LevelDifferences(
        psnr_db=_decibels(float(squares_1HW.mean())),
        worst_tile_psnr_db=_decibels(float(tile_means(squares_1HW).max())),
        p99_difference=int((counts.cumsum(0) * 100 < difference_CHW.numel() * 99).sum()),
        max_difference=int(counts.nonzero().max()),
        channel_shift=(red, green, blue),
    )


def _decibels(mean_square: float) -> float:
    return 10 * math.log10(255**2 / mean_square) if mean_square > 0 else math.inf
