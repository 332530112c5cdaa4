"""How far a picture may be from its anchor: scores held against a band."""

from nearlossless.metrics.scores import Scores
from nearlossless.thresholds import Band
from nearlossless.verdicts import Check, at_least, at_most

SSIM = "worst-tile SSIM"
LIVE_SSIM = f"live {SSIM}"
# Of equal pictures PSNR is infinite; one level in one of a tile's values is below this, whatever the tile.
MOST_DECIBELS = 120.0

Figure = tuple[str, float | None, float | None, str]  # name, obtained, threshold, unit


def band_checks(
    anchor: str, scores: Scores | None, band: Band, *, of: str = "", path: str | None = None, note: str = ""
) -> list[Check]:
    """
    One check for `min_ssim`, and one for each other figure that the band names.

    Args:
        anchor: What the picture was compared with, first word of each check's name.
        scores: None where sizes differ: nothing can be compared.
        band: In force here.
        of: Which picture.
        path: Of the picture's file.
        note: Behind each figure.
    """
    floors: list[Figure] = []
    ceilings: list[Figure] = []
    if scores is not None:
        floors = [
            (SSIM, scores.worst_tile_ssim, band.min_ssim, ""),
            ("MS-SSIM", scores.ms_ssim, band.min_ms_ssim, ""),
            ("worst-tile PSNR", min(scores.worst_tile_psnr_db, MOST_DECIBELS), band.min_psnr_db, "dB"),
        ]
        ceilings = [
            ("p99 difference", scores.p99_difference, band.max_p99_difference, "levels"),
            ("largest difference", scores.max_difference, band.max_difference, "levels"),
            ("channel shift", max(map(abs, scores.channel_shift)), band.max_channel_shift, "levels"),
            ("colour difference", scores.worst_tile_colour_difference, band.max_colour_difference, ""),
            ("FLIP", scores.flip, band.max_flip, ""),
            ("LPIPS", scores.lpips, band.max_lpips, ""),
        ]
    return [
        judge(f"{anchor} {name}", obtained, threshold, of=of, unit=unit, note=note, path=path)
        for judge, figures in ((at_least, floors or [(SSIM, None, band.min_ssim, "")]), (at_most, ceilings))
        for name, obtained, threshold, unit in figures
        if threshold is not None or name == SSIM
    ]
