"""Commands about records: over time, rebuilt, compared, put together."""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from nearlossless.cli.failing import fail
from nearlossless.cli.options import Baselines
from nearlossless.printable import printable

Store = Annotated[Path, typer.Option(metavar="DIR", help="Folder that pytest's --history was given.")]
FigureNames = Annotated[list[str], typer.Option("--figure", metavar="NAME", help="Only this figure; repeatable.")]
MOST_RECORDS = (
    "one record is written again, two are compared: give one or two, and --benchmark-json with one only; more are"
    " merged where all are shards of a run"
)
Gpu = Annotated[str | None, typer.Option(help="Only devices with this in their name or UUID.")]
Runs = Annotated[int, typer.Option("--runs", min=1, help="Only the newest so many.")]
Plot = Annotated[Path | None, typer.Option(metavar="FILE", help="Also draw the figures: .png, .svg or .pdf.")]


def history(
    store: Store,
    case: Annotated[str | None, typer.Option(help="Only this case.")] = None,
    recipe: Annotated[str | None, typer.Option(help="Only this recipe.")] = None,
    gpu: Gpu = None,
    figure: FigureNames = [],  # noqa: B006 (typer copies it)
    runs: Runs = 60,
    plot: Plot = None,
) -> None:
    """Print figures over time for each case, recipe and GPU, with the steps and slow drifts found in them."""
    from nearlossless.history.figures import FIGURES
    from nearlossless.history.plot import PlotError
    from nearlossless.history.review import Look, review
    from nearlossless.history.tracks import Wanted

    if unknown := [name for name in figure if name not in FIGURES]:
        raise fail(f"--figure {unknown[0]}: is none of {', '.join(FIGURES)}")
    look = Look(wanted=Wanted(case=case, recipe=recipe, gpu=gpu), figures=figure, runs=runs, plot=plot)
    try:
        review(store, look, typer.echo, lambda line: typer.echo(line, err=True), colour=sys.stdout.isatty())
    except (PlotError, OSError) as error:
        raise fail(error) from None


def report(
    records: Annotated[
        list[Path],
        typer.Argument(help="A record.json, a kept record of a store, or a report folder; two, or shards."),
    ],
    report_dir: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write summary.md and report.html, or of two records beside.html, there."),
    ] = None,
    benchmark_json: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the latency samples as pytest-benchmark does.")
    ] = None,
    store: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            exists=True,
            file_okay=False,
            help="Look back on the folder that pytest's --history was given.",
        ),
    ] = None,
    baselines: Baselines = Path("baselines"),
) -> None:
    """Print a record, write its reports or latency samples again; compare two records; merge shards as `merge` does."""
    from nearlossless.record import RECORD_FILE, RecordError, read_record
    from nearlossless.report import write_beside, write_reports
    from nearlossless.report.benchmark import BenchmarkError, write_benchmark_json
    from nearlossless.report.beside import render_beside
    from nearlossless.report.console import WIDEST, render_console

    colour = sys.stdout.isatty()
    try:
        paths = [record / RECORD_FILE if record.is_dir() else record for record in records]
        found = [read_record(path) for path in paths]
        if len(found) > 1 and all(record.shard is not None for record in found):
            _merge_shards(records, report_dir, baselines)
        if len(found) > 2 or (len(found) == 2 and benchmark_json is not None):
            raise fail(MOST_RECORDS)
        if len(found) == 2:
            typer.echo(render_beside(found[0], found[1], colour=colour))
        elif report_dir is None and benchmark_json is None:
            width = shutil.get_terminal_size().columns if colour else WIDEST
            typer.echo(render_console(found[0], width=width, colour=colour), nl=False)
        if report_dir is not None and len(found) == 2:
            typer.echo(f"page: {write_beside(found[0], found[1], report_dir)}")
        elif report_dir is not None:
            _warn(write_reports(found[0], report_dir, pictures=paths[0].parent, history=store, baselines=baselines))
            typer.echo(f"page: {report_dir / 'report.html'}")
        if benchmark_json is not None:
            write_benchmark_json(found[0], benchmark_json)
            typer.echo(f"samples: {benchmark_json}")
    except (BenchmarkError, RecordError, OSError) as error:
        raise fail(error) from None


def _warn(left_out: Sequence[str]) -> None:
    for reason in left_out:
        typer.echo(printable(f"left out: {reason}"), err=True)


def _merge_shards(records: list[Path], report_dir: Path | None, baselines: Path) -> NoReturn:
    if report_dir is None:
        raise fail("these are shards of a run: --report-dir says where the whole run's report goes")
    merge(records, report_dir, baselines=baselines)


def merge(
    records: Annotated[list[Path], typer.Argument(help="The report folder, or record.json, of every shard.")],
    report_dir: Annotated[Path, typer.Option(metavar="DIR", help="Where the whole run's report goes.")],
    history: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Also keep the whole run's record in this folder.")
    ] = None,
    baselines: Baselines = Path("baselines"),
) -> NoReturn:
    """Put the records of all shards into one. The exit code is that of the worst; a missing shard is never green."""
    from nearlossless.history.store import append
    from nearlossless.record import RecordError
    from nearlossless.report import write_reports
    from nearlossless.runs.merging import MergeError, merge_reports

    try:
        merged = merge_reports(records, report_dir)
        _warn(write_reports(merged, report_dir, history=history, baselines=baselines))
        kept = [append(merged, history)] if history is not None else []
    except (MergeError, RecordError, OSError) as error:
        raise fail(error) from None
    typer.echo(f"{len(records)} shard(s), {len(merged.subjects)} subject(s): {report_dir / 'report.html'}")
    for path in kept:
        typer.echo(f"history: {path}")
    for lack in merged.lacks:
        typer.secho(printable(lack), fg="red", err=True)
    raise typer.Exit(merged.exit_status or 0)


def record_schema() -> None:
    """Print the JSON Schema of record.json."""
    from nearlossless.record.schema import record_schema as schema

    typer.echo(schema(), nl=False)
