"""The page of an evaluation: verdict, distributions, the ten worst prompts; and its lines on the terminal."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nearlossless.atomic import write_text
from nearlossless.evaluation.bands import MOST_DROP
from nearlossless.evaluation.judging import CLIP_DROP, SHARE_OFF, distance_title
from nearlossless.evaluation.record import PAGE_FILE, EvaluationRecord, Mean
from nearlossless.evaluation.results import Status
from nearlossless.printable import printable
from nearlossless.report.console import render_cells
from nearlossless.report.templating import inlined, template
from nearlossless.report.thumbnails import thumbnails

HEADINGS = ("figure", "value", "required", "interval")
Row = tuple[str, str, str, str]


def figure_rows(record: EvaluationRecord) -> list[Row]:
    """Figures over the set, as cells under `HEADINGS`."""
    means = {
        ("mean CLIP score, baseline", ""): record.baseline_clip,
        ("mean CLIP score, recipe", "clip"): record.compiled_clip,
        (CLIP_DROP, "clip_drop"): record.clip_drop,
    }
    rows = [_row(record, *names, mean, _number) for names, mean in means.items() if mean is not None]
    rows.append(_row(record, SHARE_OFF, "share_off", record.share_off, _percent))
    plain = {name: Mean(mean=value, low=value, high=value) for name, value in record.distances.items()}
    return rows + [_row(record, distance_title(name), name, value, _number) for name, value in plain.items()]


def _row(record: EvaluationRecord, title: str, name: str, mean: Mean | None, shown: Callable[[float], str]) -> Row:
    limits = [(sign, getattr(record.band, f"{kind}_{name}", None)) for kind, sign in (("min", ">="), ("max", "<="))]
    required = ", ".join(f"{sign} {shown(limit)}" for sign, limit in limits if limit is not None)
    if mean is None:
        return title, "-", required, ""
    has_interval = math.isfinite(mean.low) and mean.low != mean.high
    return title, shown(mean.mean), required, f"{shown(mean.low)} to {shown(mean.high)}" if has_interval else ""


def _number(value: float) -> str:
    return f"{value:.5g}"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def notes(record: EvaluationRecord) -> list[str]:
    """What the figures mean."""
    band = ", ".join(f"{name} {limit:g}" for name, limit in record.live.model_dump(exclude_none=True).items())
    drop = "" if record.max_clip_drop is None else f" or loses more than {record.max_clip_drop:g} points of CLIP score"
    return [
        f"Off: a picture that is broken or leaves the live band ({band or 'none is set'}){drop}.",
        f"In the mean drop one prompt counts with {MOST_DROP:g} points at most, either way.",
        (
            f"Intervals are for prompts like these, at error rate {record.alpha:g}, valid at any moment of stopping;"
            " the verdict is on this list."
        ),
    ]


def quantile_rows(record: EvaluationRecord) -> tuple[list[str], list[list[str]]]:
    """Headings, and a row for each figure: what the worst of the prompts reach."""
    shares = list(dict.fromkeys(share for found in record.quantiles.values() for share in found))
    rows = [
        [name, *(_number(found[share]) if share in found else "-" for share in shares)]
        for name, found in record.quantiles.items()
    ]
    return ["figure", *(f"worst {share}" for share in shares)], rows


def render_evaluation(record: EvaluationRecord, *, colour: bool) -> str:
    """Tables and verdict as text."""
    headings, rows = quantile_rows(record)
    subject = f"{record.case} / {record.recipe} / {record.device}: {drawn(record)}"
    tables = [render_cells(HEADINGS, figure_rows(record), title=subject, colour=colour)]
    if rows:
        tables.append(render_cells(headings, rows, title="", colour=colour))
    return "\n".join([*tables, printable(f"{record.verdict.outcome} {record.verdict.gate}: {record.verdict.reason}")])


def drawn(record: EvaluationRecord) -> str:
    """Over how many prompts."""
    ended = ", stopped early" if record.stopped_early else ""
    return f"{record.judged} of {record.prompts} prompts{ended}, {record.pace.prompts} of them drawn now"


def write_evaluation_page(record: EvaluationRecord, folder: Path) -> Path:
    """Write `report.html` into a results folder; its pictures are files beside it, its plots are part of it."""
    headings, rows = quantile_rows(record)
    files = [file for prompt in record.worst for file in (prompt.baseline_file, prompt.recipe_file) if file]
    page = template("evaluation.html.jinja").render(
        inlined=inlined(),
        record=record,
        drawn=drawn(record),
        headings=HEADINGS,
        figures=figure_rows(record),
        notes=notes(record),
        quantile_headings=headings,
        quantiles=rows,
        plots=_plots(record, folder),
        more_set_aside=record.without_answer.get(Status.SET_ASIDE, 0) - len(record.set_aside),
        thumbnails=thumbnails(folder, files),
    )
    path = folder / PAGE_FILE
    write_text(path, page)
    return path


def _plots(record: EvaluationRecord, folder: Path) -> list[Any]:
    from nearlossless.report.plots import plotted
    from nearlossless.report.plots.distributions import distributions

    found = distributions(folder, record.judged, min_ssim=record.live.min_ssim)
    return [plotted(drawing, f"plot-{number}") for number, drawing in enumerate(found)]
