"""Draw by hand, as OneDiff's script does."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from nearlossless.cli.failing import fail
from nearlossless.cli.options import Baselines, DeviceName

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
    from nearlossless.cases.case import CaseError

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
