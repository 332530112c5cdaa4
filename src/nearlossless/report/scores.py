"""The scores of one picture beside what is required and beside the noise floor."""

import math
from collections.abc import Callable, Set
from dataclasses import dataclass

from nearlossless.cases.thresholds import Band
from nearlossless.metrics.figures import FIGURES, Figure
from nearlossless.metrics.scores import Scores
from nearlossless.record.quality import PictureRecord
from nearlossless.record.subject import SubjectRecord
from nearlossless.verdicts import Outcome

SCORE_HEADINGS = ("figure", "live", "required", "stored", "required", "noise floor")
CHAOS = "beyond its band by chaos: steps and replay are exact, and it lies within the noise floor"
_DIGITS = {
    "min_ssim": 5,
    "min_ms_ssim": 5,
    "min_psnr_db": 1,
    "max_p99_difference": 0,
    "max_difference": 0,
    "max_channel_shift": 3,
    "max_colour_difference": 5,
    "max_flip": 4,
    "max_lpips": 4,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRow:
    """One figure of a picture as it is shown, and where it is beyond what is required."""

    name: str
    live: str
    live_required: str
    live_is_bad: bool
    stored: str
    stored_required: str
    stored_is_bad: bool
    floor: str
    is_chaos: bool = False  # beyond its band, and the quality gate let it pass


def shown(figure: Figure, value: float | None) -> str:
    """A figure's value with its digits, `-` where there is none."""
    return "-" if value is None else f"{value:.{_DIGITS[figure.field]}f}"


def passed_checks(subject: SubjectRecord) -> Set[tuple[str, str]]:
    """Picture and name of each check of the quality gate that passed, also beyond its band within the noise floor."""
    checks = [check for verdict in subject.verdicts if verdict.gate == "quality" for check in verdict.checks]
    return {(check.of, check.name) for check in checks if check.outcome == Outcome.PASS}


def score_rows(
    subject: SubjectRecord, picture: PictureRecord, passed: Set[tuple[str, str]] = frozenset()
) -> list[ScoreRow]:
    """
    Every figure that was computed of a picture, then the drop of its CLIP score; a foreign anchor has its band.

    Args:
        subject: Whose picture it is.
        picture: What was drawn.
        passed: The subject's `passed_checks`: what the gate let pass is not marked.
    """
    stored_band = subject.thresholds.foreign if picture.stored_foreign else subject.thresholds.stored
    rows = []
    for figure in FIGURES:
        live, stored = _value(figure, picture.live), _value(figure, picture.stored)
        if live is None and stored is None:
            continue
        required = [_required(figure, band) for band in (subject.thresholds.live, stored_band)]
        beyond = [_is_bad(figure.is_floor, *pair) for pair in zip((live, stored), required, strict=True)]
        let_pass = [(picture.named, f"{anchor} {figure.name}") in passed for anchor in ("live", "stored")]
        rows.append(
            ScoreRow(
                name=f"{figure.name}, {figure.unit}" if figure.unit else figure.name,
                live=shown(figure, live),
                live_required=_bound(figure, required[0]),
                live_is_bad=beyond[0] and not let_pass[0],
                stored=shown(figure, stored),
                stored_required=_bound(figure, required[1]),
                stored_is_bad=beyond[1] and not let_pass[1],
                floor=shown(figure, _required(figure, subject.noise_floor)),
                is_chaos=(beyond[0] and let_pass[0]) or (beyond[1] and let_pass[1]),
            )
        )
    return [*rows, *_clip_rows(subject, picture)]


def _clip_rows(subject: SubjectRecord, picture: PictureRecord) -> list[ScoreRow]:
    if picture.obtained_clip is None or (picture.baseline_clip is None and picture.stored_clip is None):
        return []
    drops = [None if b is None else b - picture.obtained_clip for b in (picture.baseline_clip, picture.stored_clip)]
    limit = subject.thresholds.max_clip_drop
    cells = ["-" if drop is None else f"{drop:.2f}" for drop in drops]
    bound = "-" if limit is None else f"<= {limit:g}"
    return [
        ScoreRow(
            name="CLIP drop, points",
            live=cells[0],
            live_required=bound,
            live_is_bad=_is_bad(False, drops[0], limit),
            stored=cells[1],
            stored_required=bound,
            stored_is_bad=_is_bad(False, drops[1], limit),
            floor="-",
        )
    ]


def _value(figure: Figure, scores: Scores | None) -> float | None:
    return figure.of(scores) if scores is not None else None


def _required(figure: Figure, band: Band | None) -> float | None:
    value: float | None = getattr(band, figure.field, None)
    return value


def _bound(figure: Figure, value: float | None) -> str:
    return "-" if value is None else f"{'>=' if figure.is_floor else '<='} {value:g}"


def _is_bad(is_floor: bool, value: float | None, required: float | None) -> bool:
    if value is None or required is None:
        return False
    keeps: Callable[[float, float], bool] = float.__ge__ if is_floor else float.__le__
    return math.isnan(value) or not keeps(float(value), float(required))


def summary_line(picture: PictureRecord) -> str:
    """The scores that say most, on one line."""
    parts = [
        f"{anchor}: SSIM worst tile {scores.worst_tile_ssim:.4f}, PSNR {scores.psnr_db:.1f} dB"
        for anchor, scores in (("live", picture.live), ("stored", picture.stored))
        if scores is not None
    ]
    return " · ".join(parts)
