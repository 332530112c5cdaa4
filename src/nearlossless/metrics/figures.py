"""The figures of a comparison that a band can judge, by the names that bands give them."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from nearlossless.metrics.scores import Scores

SSIM: Final = "worst-tile SSIM"


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a picture beside its anchor; None where it was not computed."""

    field: str  # of a band
    name: str
    unit: str
    of: Callable[[Scores], float | None]

    @property
    def is_floor(self) -> bool:
        """Whether more is better."""
        return self.field.startswith("min_")

    def worst(self, scores: Iterable[Scores]) -> float | None:
        """The worst of all that were computed; NaN wherever one is NaN."""
        values = [value for value in map(self.of, scores) if value is not None]
        if any(map(math.isnan, values)):
            return math.nan
        return (min if self.is_floor else max)(values, default=None)


def _largest_shift(scores: Scores) -> float:
    shifts = [abs(shift) for shift in scores.channel_shift]
    return math.nan if any(map(math.isnan, shifts)) else max(shifts)


FIGURES: Final = (
    Figure("min_ssim", SSIM, "", lambda scores: scores.worst_tile_ssim),
    Figure("min_ms_ssim", "MS-SSIM", "", lambda scores: scores.ms_ssim),
    Figure("min_psnr_db", "worst-tile PSNR", "dB", lambda scores: scores.worst_tile_psnr_db),
    Figure("max_p99_difference", "p99 difference", "levels", lambda scores: scores.p99_difference),
    Figure("max_difference", "largest difference", "levels", lambda scores: scores.max_difference),
    Figure("max_channel_shift", "channel shift", "levels", _largest_shift),
    Figure("max_colour_difference", "colour difference", "", lambda scores: scores.worst_tile_colour_difference),
    Figure("max_flip", "FLIP", "", lambda scores: scores.flip),
    Figure("max_lpips", "LPIPS", "", lambda scores: scores.lpips),
)
