"""The command line: draw by hand as OneDiff's script does, and take over candidates for expected pictures."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from nearlossless.offers import Offer

app = typer.Typer(
    name="nearlossless",
    help="Is the faster diffusion pipeline really faster, does it fit, and is the picture still the same?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
BaselinesOption = Annotated[Path, typer.Option("--baselines", metavar="DIR", help="Folder of case folders.")]


def fail(message: object) -> typer.Exit:
    """Print an error and hand back what ends the program with exit code 2."""
    typer.secho(f"error: {message}", fg="red", err=True)
    return typer.Exit(2)


@app.command()
def generate(
    case: Annotated[str, typer.Option(help="Case to draw.")] = "miniature",
    recipe: Annotated[
        str | None, typer.Option(help="Recipe of the case to draw with; overrides the three flags below.")
    ] = None,
    transform: Annotated[
        bool, typer.Option("--transform", help="Compile: the case's first recipe that fits the flags.")
    ] = False,
    quantize: Annotated[
        bool, typer.Option("--quantize", help="Quantize the transformer; needs a recipe that does.")
    ] = False,
    speedup_t5: Annotated[
        bool, typer.Option("--speedup-t5", help="The T5 encoder too (text_encoder_3); needs a recipe that does.")
    ] = False,
    run_multiple_resolutions: Annotated[
        bool,
        typer.Option(
            "--run-multiple-resolutions", "--run_multiple_resolutions", help="Draw once at every size of the case."
        ),
    ] = False,
    saved_image: Annotated[Path, typer.Option("--saved-image", help="Where the picture is written, as PNG.")] = Path(
        "nearlossless.png"
    ),
    seed: Annotated[int | None, typer.Option(min=0, help="Of the initial latents.")] = None,
    prompt: Annotated[str | None, typer.Option(help="What to draw.")] = None,
    height: Annotated[int | None, typer.Option(min=16, help="Pixels, a multiple of 16.")] = None,
    width: Annotated[int | None, typer.Option(min=16, help="Pixels, a multiple of 16.")] = None,
    num_inference_steps: Annotated[
        int | None, typer.Option("--num-inference-steps", min=1, help="Denoising steps.")
    ] = None,
    guidance_scale: Annotated[
        float | None, typer.Option("--guidance-scale", "--guidance_scale", min=0, help="Of classifier-free guidance.")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="cpu or cuda; default: cuda where there is one and the case allows it.")
    ] = None,
    baselines: BaselinesOption = Path("baselines"),
) -> None:
    """Draw one picture by hand and print the benchmark's table. Settings left out are the case's."""
    from nearlossless.backends import BackendError, BackendUnavailable
    from nearlossless.cases import CaseError
    from nearlossless.generate import Overrides, choose_device, choose_recipe, draw_by_hand
    from nearlossless.report.console import render_table

    overrides = Overrides(
        prompt=prompt,
        seed=seed,
        height=height,
        width=width,
        steps=num_inference_steps,
        guidance_scale=guidance_scale,
    )
    try:
        chosen = overrides.applied_to(baselines, case)
        where = choose_device(chosen, device)
        recipe_name = choose_recipe(chosen, recipe, transform=transform, quantize=quantize, speedup_t5=speedup_t5)
        rows = draw_by_hand(
            chosen,
            recipe_name,
            where,
            saved_image=saved_image,
            every_size=run_multiple_resolutions,
            say=lambda text: typer.echo(text, err=True),
        )
    except (CaseError, BackendError, BackendUnavailable, OSError) as error:
        raise fail(error) from None
    typer.echo(
        render_table(rows, title=f"{chosen.name} / {recipe_name or 'baseline'} / {where}", colour=sys.stdout.isatty())
    )
    typer.echo(f"picture: {saved_image}")


def show_offer(offer: "Offer", reason: str) -> None:
    """Print what a subject offers for missing thresholds, as the lines that would be written."""
    if offer.missing:
        typer.echo(f"# {offer.subject.title}\n{offer.written_into('', reason).strip()}")
    for name in offer.kept:
        typer.echo(f"# {name}: already in force, stays as it is")
    for proposal in offer.left_out:
        typer.echo(f"# {proposal.name}: left out, {proposal.basis}")
    if offer.renews and not offer.refused:
        typer.echo(f"# {offer.subject.title}: --thresholds makes this record the one that later runs are held against")
    if offer.refused:
        typer.echo(f"# {offer.subject.title}: nothing can be taken over, {offer.refused}")


@app.command()
def approve(
    report_dir: Annotated[Path, typer.Argument(help="Report folder of a run, from this machine or another.")],
    reason: Annotated[
        str,
        typer.Option(
            prompt="Why are these pictures and figures right?",
            help="Kept beside each picture and threshold; asked if left out.",
        ),
    ],
    thresholds: Annotated[
        bool,
        typer.Option("--thresholds", help="Write what the record offers for missing thresholds into case.toml."),
    ] = False,
    baselines: BaselinesOption = Path("baselines"),
) -> None:
    """Take candidates over as expected pictures, and a record's figures as thresholds that were missing."""
    from nearlossless.approval import ApprovalError, Candidate, approve, find_candidates
    from nearlossless.baselines import CANDIDATES
    from nearlossless.cases import CaseError
    from nearlossless.offers import accept, find_offers
    from nearlossless.record import RecordError

    def show(candidate: Candidate) -> None:
        former, score = candidate.former, candidate.sidecar.clip_score
        change = (
            "new" if former is None else "same picture" if former.sha256 == candidate.sidecar.sha256 else "replaced"
        )
        scores = "" if score is None else f", CLIP {score:.2f}"
        if former is not None and former.clip_score is not None:
            scores += f" (was {former.clip_score:.2f})"
        typer.echo(f"{candidate.case}/{candidate.hardware}/{candidate.name}: {change}{scores}")

    try:
        offers = find_offers(report_dir, baselines)
        for offer in offers:
            show_offer(offer, reason)
        is_about_figures = any(offer.can_be_written for offer in offers) and not (report_dir / CANDIDATES).exists()
        candidates = [] if is_about_figures else find_candidates(report_dir, baselines)
        approve(candidates, reason, show)
        for offer in offers:
            if thresholds and offer.can_be_written:
                record = accept(offer, baselines, reason)
                typer.echo(f"{offer.subject.title}: {len(offer.missing)} threshold(s) written, record kept in {record}")
    except (ApprovalError, CaseError, RecordError, OSError) as error:
        raise fail(error) from None
    typer.echo(f"{len(candidates)} expected picture(s) taken over into {baselines}")
    if not thresholds and any(offer.can_be_written for offer in offers):
        typer.echo("no threshold was written; --thresholds writes the lines above into their case files")
