"""What a recipe needs, before anything is downloaded or run."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from nearlossless.cli.failing import fail
from nearlossless.cli.options import Baselines


def plan(
    case: Annotated[str, typer.Option(help="Case to plan.")] = "miniature",
    recipe: Annotated[str | None, typer.Option(help="Recipe of the case; none: the baseline.")] = None,
    gib: Annotated[float | None, typer.Option(min=0, help="Memory that there is, in GiB.")] = None,
    card: Annotated[str | None, typer.Option(help="GPU by name, for example 'H100 80GB'; instead of --gib.")] = None,
    baselines: Baselines = Path("baselines"),
) -> None:
    """Count a case's weights under a recipe and estimate its peak, with no GPU and no download. Exit code 1: no fit."""
    from nearlossless.backends import BackendError, BackendUnavailable
    from nearlossless.cases.case import CaseError
    from nearlossless.cases.files import find_case
    from nearlossless.memory import plan as planning
    from nearlossless.report.console import render_cells

    if gib is not None and card is not None:
        raise fail("--gib and --card both say how much memory there is: give one of them")
    try:
        size = planning.card_gib(card) if card is not None else gib
        found = planning.plan(find_case(baselines, case), recipe)
    except (CaseError, BackendError, BackendUnavailable, OSError) as error:
        raise fail(error) from None
    typer.echo(render_cells(planning.HEADINGS, found.rows(), title=found.title, colour=sys.stdout.isatty()))
    typer.echo(planning.answer(found, size, card))
    if size is not None and not found.fits(size):
        raise typer.Exit(1)
