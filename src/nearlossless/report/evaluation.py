"""The page of an evaluation: verdict, distributions, the ten worst prompts; and its lines on the terminal."""

import math
from pathlib import Path

from nearlossless.atomic import write_text
from nearlossless.evaluation.record import EvaluationRecord, Mean
from nearlossless.report.console import render_cells
from nearlossless.report.templating import template

PAGE = "report.html"
HEADINGS = ("figure", "value", "interval")


def figure_rows(record: EvaluationRecord) -> list[tuple[str, str, str]]:
    """Figures over the set, as cells under `HEADINGS`."""
    means = {
        "mean CLIP score, baseline": record.baseline_clip,
        "mean CLIP score, recipe": record.compiled_clip,
        "mean paired CLIP drop": record.clip_drop,
        "share of prompts off": record.share_off,
    }
    rows = [(name, f"{mean.mean:.5g}", _interval(mean)) for name, mean in means.items() if mean is not None]
    return rows + [(name.replace("_", " "), f"{value:.5g}", "") for name, value in record.distances.items()]


def _interval(mean: Mean) -> str:
    is_known = math.isfinite(mean.low) and mean.low != mean.high
    return f"{mean.low:.5g} to {mean.high:.5g}" if is_known else ""


def quantile_rows(record: EvaluationRecord) -> tuple[list[str], list[list[str]]]:
    """Headings, and a row for each figure: what the worst of the prompts reach."""
    shares = list(next(iter(record.quantiles.values()), {}))
    rows = [[name, *(f"{found[share]:.5g}" for share in shares)] for name, found in record.quantiles.items()]
    return ["figure", *(f"worst {share}" for share in shares)], rows


def render_evaluation(record: EvaluationRecord, *, colour: bool) -> str:
    """Tables and verdict as text."""
    headings, rows = quantile_rows(record)
    tables = [render_cells(HEADINGS, figure_rows(record), title=title(record), colour=colour)]
    if rows:
        tables.append(render_cells(headings, rows, title="", colour=colour))
    return "\n".join([*tables, f"{record.verdict.outcome} {record.verdict.gate}: {record.verdict.reason}"])


def title(record: EvaluationRecord) -> str:
    """What was evaluated, and over how many prompts."""
    ended = ", stopped early" if record.stopped_early else ""
    judged = f"{record.judged} of {record.prompts} prompts{ended}, {record.pace.prompts} of them drawn now"
    return f"{record.case} / {record.recipe} / {record.device}: {judged}"


def write_evaluation_page(record: EvaluationRecord, folder: Path) -> Path:
    """Write `report.html` into a results folder; its pictures are files beside it, its plots are part of it."""
    from nearlossless.evaluation.plots import plots

    headings, rows = quantile_rows(record)
    page = template("evaluation.html.jinja").render(
        record=record,
        title=title(record),
        headings=HEADINGS,
        figures=figure_rows(record),
        quantile_headings=headings,
        quantiles=rows,
        plots=plots(folder, record.judged),
    )
    path = folder / PAGE
    write_text(path, page)
    return path
