"""Compare two pictures by hand."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from nearlossless.cli.failing import fail

Expected = Annotated[Path, typer.Argument(metavar="A.png", help="The picture to compare with.")]
Obtained = Annotated[Path, typer.Argument(metavar="B.png", help="The picture to judge.")]
Html = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", help="Write a page with slider, flicker and difference.")
]
Difference = Annotated[
    Path | None, typer.Option("--difference", metavar="FILE", help="Write the difference, 10 times, as PNG.")
]


def compare(expected: Expected, obtained: Obtained, html: Html = None, difference: Difference = None) -> None:
    """
    Compare two pictures by hand with every score of the quality gate.

    Ends with 0 if every pixel is the same, with 1 if any differs, with 2 if they cannot be compared.
    """
    from nearlossless.atomic import write_bytes
    from nearlossless.baselines.expected import encode_png
    from nearlossless.metrics.picture_pair import PictureError, read_pair
    from nearlossless.report.approval import amplified_difference
    from nearlossless.report.console import render_cells
    from nearlossless.report.pair import pair_rows, write_pair_page

    try:
        pair = read_pair(expected, obtained)
        if html is not None:
            write_pair_page(pair, (expected.name, obtained.name), html)
        if difference is not None:
            write_bytes(difference, encode_png(amplified_difference(pair.expected, pair.obtained)))
    except (PictureError, OSError) as error:
        raise fail(error) from None
    typer.echo(render_cells(("figure", "value"), pair_rows(pair), title="", colour=sys.stdout.isatty()))
    typer.echo("every pixel is the same" if pair.is_same else "the pictures differ")
    if not pair.is_same:
        raise typer.Exit(1)
