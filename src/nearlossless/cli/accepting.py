"""Take over what a run offers, and measure what bands have to allow."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from nearlossless.cli.failing import fail
from nearlossless.cli.options import Baselines, DeviceName

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
    from nearlossless.accepting.approval import ApprovalError
    from nearlossless.accepting.review import Wishes, review
    from nearlossless.cases.case import CaseError
    from nearlossless.record import RecordError

    wishes = Wishes(reason=reason, also=also, only=tuple(only), thresholds=thresholds, tighten=tighten)
    try:
        review(report_dir, baselines, wishes, typer.echo, colour=sys.stdout.isatty())
    except (ApprovalError, CaseError, RecordError, OSError) as error:
        raise fail(error) from None


def calibrate(
    case: Annotated[str, typer.Option(help="Case to calibrate.")] = "miniature",
    device: DeviceName = None,
    baselines: Baselines = Path("baselines"),
) -> None:
    """Measure how far a case's pictures move on this machine although nothing is wrong, keep it, propose bands."""
    from nearlossless.backends import BackendError, BackendUnavailable
    from nearlossless.baselines.calibration import calibrate as measure
    from nearlossless.baselines.calibration import proposed_lines
    from nearlossless.cases.case import CaseError
    from nearlossless.cases.files import find_case
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
