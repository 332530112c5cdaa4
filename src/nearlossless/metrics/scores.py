"""All that is said of one picture beside another."""

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from nearlossless.fields import Int64

if TYPE_CHECKING:
    from nearlossless.metrics.pixels import Pixels

TileXYWH = tuple[Int64, Int64, Int64, Int64]


class Scores(BaseModel):
    """
    An obtained picture beside an expected one.

    `ms_ssim` is None for a side under 176 pixels, `flip` and `lpips` where their packages are not installed.
    Differences are in levels of 255, `channel_shift` (red, green, blue) is obtained - expected, colour differences are
    distances in OKLab; `flip` is of its own worst tile.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")

    mean_ssim: float
    worst_tile_ssim: float
    worst_tile_xywh: TileXYWH
    ms_ssim: float | None
    psnr_db: float
    worst_tile_psnr_db: float
    p99_difference: Int64
    max_difference: Int64
    channel_shift: tuple[float, float, float]
    worst_tile_colour_difference: float
    worst_colour_xywh: TileXYWH
    flip: float | None = None
    lpips: float | None = None


def compare(obtained: "Pixels", expected: "Pixels") -> Scores:
    """
    Every score of two pictures.

    Raises:
        ValueError: The sizes differ.
    """
    # Here, since a record holds scores, too: whoever collects tests or reads records must not wait for numpy.
    from nearlossless.metrics.colour import worst_colour_difference
    from nearlossless.metrics.extras import flip, lpips
    from nearlossless.metrics.levels import level_differences
    from nearlossless.metrics.structure import ssim

    similarity, differences = ssim(obtained, expected, multiscale=True), level_differences(obtained, expected)
    colour_difference, colour_xywh = worst_colour_difference(obtained, expected)
    return Scores(
        mean_ssim=similarity.mean_ssim,
        worst_tile_ssim=similarity.worst_tile_ssim,
        worst_tile_xywh=similarity.worst_tile_xywh,
        ms_ssim=similarity.ms_ssim,
        psnr_db=differences.psnr_db,
        worst_tile_psnr_db=differences.worst_tile_psnr_db,
        p99_difference=differences.p99_difference,
        max_difference=differences.max_difference,
        channel_shift=differences.channel_shift,
        worst_tile_colour_difference=colour_difference,
        worst_colour_xywh=colour_xywh,
        flip=flip(obtained, expected),
        lpips=lpips(obtained, expected),
    )
