"""The command line: draw by hand as OneDiff's script does, take over what a run offers, look back over many runs."""

import signal
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from nearlossless import cli_reports
from nearlossless.failing import fail

app = typer.Typer(
    name="nearlossless",
    help="Is the faster diffusion pipeline really faster, does it fit, and is the picture still the same?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(cli_reports.compare)
app.command()(cli_reports.record_schema)
EngineName = Literal["local", "ray"]
Baselines = Annotated[Path, typer.Option("--baselines", metavar="DIR", help="Folder of case folders.")]

CaseName = Annotated[str, typer.Option(help="Case to draw.")]
RecipeName = Annotated[
    str | None, typer.Option(help="Recipe of the case to draw with; overrides the three flags below.")
]
Transform = Annotated[bool, typer.Option("--transform", help="Compile: the case's first recipe that fits the flags.")]
Quantize = Annotated[bool, typer.Option("--quantize", help="Quantize the transformer; needs a recipe that does.")]
SpeedupT5 = Annotated[
    bool, typer.Option("--speedup-t5", help="The T5 encoder too (text_encoder_3); needs a recipe that does.")
]
EverySize = Annotated[
    bool,
    typer.Option(
        "--run-multiple-resolutions", "--run_multiple_resolutions", help="Draw once at every size of the case."
    ),
]
SavedImage = Annotated[Path, typer.Option("--saved-image", help="Where the picture is written, as PNG.")]
Seed = Annotated[int | None, typer.Option(min=0, help="Of the initial latents.")]
Prompt = Annotated[str | None, typer.Option(help="What to draw.")]
Side = Annotated[int | None, typer.Option(min=16, help="Pixels, a multiple of 16.")]
Steps = Annotated[int | None, typer.Option("--num-inference-steps", min=1, help="Denoising steps.")]
Guidance = Annotated[
    float | None, typer.Option("--guidance-scale", "--guidance_scale", min=0, help="Of classifier-free guidance.")
]
DeviceName = Annotated[
    str | None, typer.Option(help="cpu or cuda; default: cuda where there is one and the case allows it.")
]

Report = Annotated[Path, typer.Argument(help="Report folder of a run, from this machine or another.")]
Why = Annotated[
    str | None,
    typer.Option(help="Why it is right: kept beside each picture and threshold. Without one all is only shown."),
]
Also = Annotated[bool, typer.Option("--also", help="Keep the expected pictures and accept the candidates beside them.")]
Only = Annotated[list[str], typer.Option("--only", metavar="NAME", help="Only this picture, by its name; repeatable.")]
WriteThresholds = Annotated[
    bool, typer.Option("--thresholds", help="Write what the record offers for missing thresholds into case.toml.")
]
Tighten = Annotated[
    bool, typer.Option("--tighten", help="With --thresholds: also the tighter values that the last runs allow.")
]

Store = Annotated[Path, typer.Option(metavar="DIR", help="Folder that pytest's --history was given.")]
FigureNames = Annotated[list[str], typer.Option("--figure", metavar="NAME", help="Only this figure; repeatable.")]
Gpu = Annotated[str | None, typer.Option(help="Only devices with this in their name or UUID.")]
Runs = Annotated[int, typer.Option("--runs", min=1, help="Only the newest so many.")]
Plot = Annotated[Path | None, typer.Option(metavar="FILE", help="Also draw the figures: .png, .svg or .pdf.")]

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


@app.command()
def generate(
    case: CaseName = "miniature",
    recipe: RecipeName = None,
    transform: Transform = False,
    quantize: Quantize = False,
    speedup_t5: SpeedupT5 = False,
    run_multiple_resolutions: EverySize = False,
    saved_image: SavedImage = Path("nearlossless.png"),
    seed: Seed = None,
    prompt: Prompt = None,
    height: Side = None,
    width: Side = None,
    num_inference_steps: Steps = None,
    guidance_scale: Guidance = None,
    device: DeviceName = None,
    baselines: Baselines = Path("baselines"),
) -> None:
    """Draw one picture by hand and print the benchmark's table. Settings left out are the case's."""
    from nearlossless import generate as by_hand
    from nearlossless.backends import BackendError, BackendUnavailable
    from nearlossless.cases import CaseError

    steps, guidance = num_inference_steps, guidance_scale
    overrides = by_hand.Overrides(
        prompt=prompt, seed=seed, height=height, width=width, steps=steps, guidance_scale=guidance
    )
    flags = by_hand.Flags(recipe=recipe, transform=transform, quantize=quantize, speedup_t5=speedup_t5, device=device)
    try:
        table = by_hand.generate(
            baselines,
            case,
            overrides,
            flags,
            saved_image=saved_image,
            every_size=run_multiple_resolutions,
            say=lambda text: typer.echo(text, err=True),
            colour=sys.stdout.isatty(),
        )
    except (CaseError, BackendError, BackendUnavailable, OSError) as error:
        raise fail(error) from None
    typer.echo(f"{table}\npicture: {saved_image}")


@app.command()
def approve(
    report_dir: Report,
    reason: Why = None,
    also: Also = False,
    only: Only = [],  # noqa: B006 (typer copies it)
    thresholds: WriteThresholds = False,
    tighten: Tighten = False,
    baselines: Baselines = Path("baselines"),
) -> None:
    """Show what a run offers; with a reason take candidates over as expected pictures, and figures as thresholds."""
    from nearlossless.approval import ApprovalError
    from nearlossless.cases import CaseError
    from nearlossless.record import RecordError
    from nearlossless.review import Wishes, review

    wishes = Wishes(reason=reason, also=also, only=tuple(only), thresholds=thresholds, tighten=tighten)
    try:
        review(report_dir, baselines, wishes, typer.echo, colour=sys.stdout.isatty())
    except (ApprovalError, CaseError, RecordError, OSError) as error:
        raise fail(error) from None


@app.command()
def plan(
    case: Annotated[str, typer.Option(help="Case to plan.")] = "miniature",
    recipe: Annotated[str | None, typer.Option(help="Recipe of the case; none: the baseline.")] = None,
    gib: Annotated[float | None, typer.Option(min=0, help="Memory that there is, in GiB.")] = None,
    card: Annotated[str | None, typer.Option(help="GPU by name, for example 'H100 80GB'; instead of --gib.")] = None,
    baselines: Baselines = Path("baselines"),
) -> None:
    """Count a case's weights under a recipe and estimate its peak, with no GPU and no download. Exit code 1: no fit."""
    from nearlossless import plan as planning
    from nearlossless.backends import BackendError, BackendUnavailable
    from nearlossless.case_files import find_case
    from nearlossless.cases import CaseError
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


@app.command()
def calibrate(
    case: Annotated[str, typer.Option(help="Case to calibrate.")] = "miniature",
    device: DeviceName = None,
    baselines: Baselines = Path("baselines"),
) -> None:
    """Measure how far a case's pictures move on this machine although nothing is wrong, keep it, propose bands."""
    from nearlossless.backends import BackendError, BackendUnavailable
    from nearlossless.calibration import calibrate as measure
    from nearlossless.calibration import proposed_lines
    from nearlossless.case_files import find_case
    from nearlossless.cases import CaseError
    from nearlossless.generate import choose_device
    from nearlossless.measuring import BaselineError
    from nearlossless.progress import Progress
    from nearlossless.report.noise import render_noise

    try:
        where = choose_device(find_case(baselines, case), device)
        path, floor = measure(baselines, case, where, Progress(lambda line: typer.echo(line, err=True)))
        lines = proposed_lines(floor)
    except (CaseError, BackendError, BackendUnavailable, BaselineError, OSError, ValueError) as error:
        raise fail(error) from None
    typer.echo(render_noise(floor, colour=sys.stdout.isatty()))
    typer.echo(f"noise floor: {path}")
    typer.echo("\n".join(["bands that these changes keep, for case.toml:", *(f"    {line}" for line in lines)]))


@app.command()
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
    from nearlossless.cases import CaseError
    from nearlossless.evaluation.command import Options, run
    from nearlossless.measuring import BaselineError
    from nearlossless.pipelines.compiling import BaselineChanged
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
        typer.secho(f"{Outcome.REGRESSION}: {error}", fg="red", err=True)
        raise typer.Exit(EXIT_REGRESSION) from None
    except KeyboardInterrupt:
        typer.echo("stopped; what is finished is kept, and the same command goes on from there", err=True)
        raise typer.Exit(EXIT_UNDECIDED) from None
    typer.echo(render_evaluation(record, colour=sys.stdout.isatty()))
    typer.echo(f"report: {folder / 'report.html'}")
    raise typer.Exit(exit_code([Outcome(record.verdict.outcome)]))


@app.command()
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


@app.command()
def report(
    records: Annotated[
        list[Path], typer.Argument(help="A record.json, a kept record of a store, or a report folder; two to compare.")
    ],
    report_dir: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write summary.md and report.html, or of two records beside.html, there."),
    ] = None,
    benchmark_json: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the latency samples as pytest-benchmark does.")
    ] = None,
    store: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder that pytest's --history was given: look back on it.")
    ] = None,
    baselines: Baselines = Path("baselines"),
) -> None:
    """Write reports of a record again, or its latency samples for pytest-benchmark; print two records side by side."""
    from nearlossless.record import RECORD_FILE, RecordError, read_record
    from nearlossless.report import write_beside, write_reports
    from nearlossless.report.benchmark import BenchmarkError, write_benchmark_json
    from nearlossless.report.beside import render_beside

    if len(records) > 2 or (len(records) == 2 and benchmark_json is not None):
        raise fail("one record is written again, two are compared: give one or two, and --benchmark-json with one only")
    if len(records) == 1 and report_dir is None and benchmark_json is None:
        raise fail("nothing to write: give --report-dir or --benchmark-json, or a second record to compare with")
    try:
        paths = [record / RECORD_FILE if record.is_dir() else record for record in records]
        found = [read_record(path) for path in paths]
        if len(found) == 2:
            typer.echo(render_beside(found[0], found[1], colour=sys.stdout.isatty()))
            if report_dir is not None:
                typer.echo(f"page: {write_beside(found[0], found[1], report_dir)}")
        elif report_dir is not None:
            pictures = paths[0].parent
            write_reports(found[0], report_dir, pictures=pictures, history=store, baselines=baselines)
        if benchmark_json is not None:
            write_benchmark_json(found[0], benchmark_json)
    except (BenchmarkError, RecordError, OSError) as error:
        raise fail(error) from None


@app.command()
def merge(
    records: Annotated[list[Path], typer.Argument(help="The report folder, or record.json, of every shard.")],
    report_dir: Annotated[Path, typer.Option(metavar="DIR", help="Where the whole run's report goes.")],
    history: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Also keep the whole run's record in this folder.")
    ] = None,
) -> None:
    """Put the records of all shards into one. The exit code is that of the worst; a missing shard is never green."""
    from nearlossless.history.store import append
    from nearlossless.merging import MergeError, copy_pictures, read_parts
    from nearlossless.merging import merge as merge_parts
    from nearlossless.record import RecordError, write_record
    from nearlossless.report import write_reports

    try:
        parts = read_parts(records)
        merged = merge_parts(parts)
        copy_pictures(parts, report_dir)
        write_record(merged, report_dir)
        write_reports(merged, report_dir, history=history)
        kept = [append(merged, history)] if history is not None else []
    except (MergeError, RecordError, OSError) as error:
        raise fail(error) from None
    typer.echo(f"{len(parts)} shard(s), {len(merged.subjects)} subject(s): {report_dir / 'report.html'}")
    for path in kept:
        typer.echo(f"history: {path}")
    for lack in merged.lacks:
        typer.secho(lack, fg="red", err=True)
    raise typer.Exit(merged.exit_status or 0)
