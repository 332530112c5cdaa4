"""How far a picture may be from its anchor: scores held against a band."""

import math

from nearlossless.cases.thresholds import Band
from nearlossless.metrics.figures import FIGURES, SSIM, Figure
from nearlossless.metrics.scores import Scores
from nearlossless.verdicts import Check, Outcome, at_least, at_most, found

LIVE_SSIM = f"live {SSIM}"
# Of equal pictures PSNR is infinite; one level in one of a tile's values is below this, whatever the tile.
MOST_DECIBELS = 120.0


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
    return [
        (at_least if figure.is_floor else at_most)(
            f"{anchor} {figure.name}",
            None if scores is None else _obtained(figure, scores),
            getattr(band, figure.field),
            of=of,
            unit=figure.unit,
            note=note,
            path=path,
        )
        for figure in FIGURES
        if figure.name == SSIM or (scores is not None and getattr(band, figure.field) is not None)
    ]


def _obtained(figure: Figure, scores: Scores) -> float | None:
    obtained = figure.of(scores)
    return MOST_DECIBELS if figure.unit == "dB" and obtained == math.inf else obtained


def count_checks(anchor: str, band: Band, pictures: int) -> list[Check]:
    """A band was set for the worst of so many pictures; the worst of more is worse by chance alone."""
    if band.pictures is None or pictures <= band.pictures:
        return []
    note = f"set for {band.pictures} pictures, {pictures} were drawn: calibrate it anew"
    return [found(f"{anchor} band", Outcome.NOT_COMPARABLE, note)]
