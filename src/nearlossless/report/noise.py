"""The noise floor as tables: what each benign change moves, and a subject's pictures beside it."""

import math

from nearlossless.baselines.noise import Movement, NoiseFloor
from nearlossless.metrics.figures import FIGURES
from nearlossless.printable import printable
from nearlossless.record.subject import SubjectRecord
from nearlossless.report.console import render_cells
from nearlossless.report.scores import shown

_FIGURES = [figure for figure in FIGURES if figure.field not in {"max_flip", "max_lpips"}]
_SHORT = ("worst SSIM", "PSNR dB", "p99", "largest", "shift", "colour")
_SHOWN = [figure for figure in _FIGURES if figure.field != "min_ms_ssim"]  # of small pictures there is none
FLOOR_HEADINGS = ("figure", "noise floor", "live band", "live, worst", "stored band", "stored, worst")


def _row(movement: Movement) -> tuple[str, ...]:
    if not movement.scores:
        return (movement.change, "not possible here", *[""] * (len(_SHOWN) - 1))
    return (movement.change, *(shown(figure, figure.worst(movement.scores)) for figure in _SHOWN))


def floor_rows(subject: SubjectRecord) -> list[tuple[str, ...]]:
    """
    Under `FLOOR_HEADINGS` each figure that has a noise floor or a band: both, and the worst of all pictures.

    Nothing where no noise floor was calibrated. A floor of infinitely many decibels is that of equal pictures.
    """
    floor, bands = subject.noise_floor, subject.thresholds
    if floor is None:
        return []
    live = [picture.live for picture in subject.pictures if picture.live is not None]
    stored = [p.stored for p in subject.pictures if p.stored is not None and not p.stored_foreign]
    rows = []
    for figure in _FIGURES:
        measured = getattr(floor, figure.field)
        if measured is None and figure.unit == "dB":
            measured = math.inf
        required = [getattr(band, figure.field) for band in (bands.live, bands.stored)]
        worst = [figure.worst(scores) for scores in (live, stored)]
        values = (measured, required[0], worst[0], required[1], worst[1])
        if any(value is not None for value in values):
            unit = f", {figure.unit}" if figure.unit else ""
            rows.append((figure.name + unit, *(shown(figure, value) for value in values)))
    return rows


def repeats_line(floor: NoiseFloor) -> str:
    """What repeating the same call gave, in words."""
    if max(floor.distinct) == 1:
        return f"drawn {floor.repeats} times, every picture is the same to the bit"
    if floor.jumps:
        versions = ", ".join(str(count) for count in floor.distinct)
        return f"drawn {floor.repeats} times, pictures jump between a few versions: {versions} of each"
    others = sum(count > 1 for count in floor.distinct)
    return f"drawn {floor.repeats} times, {others} of {len(floor.distinct)} pictures are another each time"


def render_noise(floor: NoiseFloor, *, colour: bool) -> str:
    """The table, what could not be tried and why, and the line about repeats, as text."""
    title = f"noise floor on {floor.identity.hardware}, {floor.identity.dtype}: worst of {floor.pictures} pictures"
    rows = [_row(movement) for movement in floor.movements]
    problems = [f"{each.change}: {printable(each.problem)}" for each in floor.movements if each.problem is not None]
    table = render_cells(("benign change", *_SHORT), rows, title=title, colour=colour)
    return "\n".join([table, *problems, repeats_line(floor)])
