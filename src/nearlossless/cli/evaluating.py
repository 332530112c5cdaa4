"""Judge a release over a list of prompts."""

import signal
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from nearlossless.cli.failing import fail
from nearlossless.cli.options import Baselines, DeviceName

EngineName = Literal["local", "ray"]
Prompts = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="JSON Lines or .tsv of prompts, or miniature:held-out; default: the case's."),
]
Results = Annotated[Path | None, typer.Option(metavar="DIR", help="Results folder; one that is there is gone on with.")]
EngineChoice = Annotated[EngineName, typer.Option(help="Draw in this process, or on a Ray cluster.")]
Address = Annotated[str | None, typer.Option(help="Of a running Ray cluster; default: one of this machine's own.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Ray actors; default: as many as there is room for.")]
Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads of each worker.")]
ReferenceFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Safetensors with features of other pictures to compare with.")
]
FeatureFolder = Annotated[
    str | None, typer.Option("--features", metavar="DIR", help="Vision model whose features FID compares.")
]
StopEarly = Annotated[bool, typer.Option("--stop-early", help="End as soon as the verdict is certain.")]


def evaluate(
    recipe: Annotated[str, typer.Option(help="Recipe of the case.")],
    case: Annotated[str, typer.Option(help="Case to evaluate.")] = "miniature",
    prompts: Prompts = None,
    results: Results = None,
    engine: EngineChoice = "local",
    address: Address = None,
    workers: Workers = None,
    threads: Threads = None,
    reference: ReferenceFile = None,
    features: FeatureFolder = None,
    stop_early: StopEarly = False,
    device: DeviceName = None,
    baselines: Baselines = Path("baselines"),
) -> None:
    """Judge a recipe over thousands of prompts. Exit code 0: PASS; 1: REGRESSION; 10: undecided or not comparable."""
    from nearlossless.backends import BackendError, BackendUnavailable
    from nearlossless.cases.case import CaseError
    from nearlossless.evaluation.command import Options, run
    from nearlossless.measuring import BaselineError
    from nearlossless.pipelines.compiling import BaselineChanged
    from nearlossless.printable import printable
    from nearlossless.progress import Progress
    from nearlossless.report.evaluation import render_evaluation
    from nearlossless.verdicts import EXIT_REGRESSION, EXIT_UNDECIDED, Outcome, exit_code

    options = Options(
        case=case,
        recipe=recipe,
        baselines=baselines,
        prompts=prompts,
        results=results,
        device=device,
        engine=engine,
        address=address,
        workers=workers,
        threads=threads,
        reference=reference,
        features=features,
        stop_early=stop_early,
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        record, folder = run(options, Progress(lambda line: typer.echo(line, err=True)))
    except (CaseError, BackendUnavailable, BaselineError, BaselineChanged, OSError, ValueError) as error:
        raise fail(error) from None
    except BackendError as error:
        typer.secho(printable(f"{Outcome.REGRESSION}: {error}"), fg="red", err=True)
        raise typer.Exit(EXIT_REGRESSION) from None
    except KeyboardInterrupt:
        typer.echo("stopped; what is finished is kept, and the same command goes on from there", err=True)
        raise typer.Exit(EXIT_UNDECIDED) from None
    typer.echo(render_evaluation(record, colour=sys.stdout.isatty()))
    typer.echo(f"report: {folder / 'report.html'}")
    raise typer.Exit(exit_code([record.verdict.outcome]))
