"""Rerun the training of the miniature: `python -m nearlossless.miniature.training --help`."""

from pathlib import Path
from typing import Annotated

import click
import torch
import typer

from nearlossless.miniature import WEIGHTS
from nearlossless.miniature.architecture import build_text_tower
from nearlossless.miniature.training.clip import TOWERS, train_clip
from nearlossless.miniature.training.export import export, write_tokenizers
from nearlossless.miniature.training.pictures import Pictures, draw_pictures
from nearlossless.miniature.training.transformer import train_transformer
from nearlossless.miniature.training.vae import train_vae

STAGES = ("pictures", "vae", "clip", "transformer")
CHOICE = click.Choice(STAGES)


def main(
    work: Annotated[Path, typer.Option(help="Folder of pictures and checkpoints; a rerun goes on where it stood.")],
    to: Annotated[Path, typer.Option(help="Where the weights are written.")] = WEIGHTS,
    until: Annotated[str, typer.Option(click_type=CHOICE, help="Stop after this stage.")] = STAGES[-1],
    only: Annotated[
        str | None, typer.Option(click_type=CHOICE, help="Run just this stage, to run stages side by side.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cuda" if torch.cuda.is_available() else "cpu",
    pictures: Annotated[int, typer.Option(min=100, help="Training pictures, over all sizes.")] = 120_000,
    vae_steps: Annotated[int, typer.Option(min=1)] = 8_000,
    clip_steps: Annotated[int, typer.Option(min=1)] = 3_000,
    clip_batch: Annotated[int, typer.Option(min=2)] = 512,
    transformer_steps: Annotated[int, typer.Option(min=1)] = 20_000,
    transformer_batch: Annotated[int, typer.Option(min=1)] = 512,
    transformer_peak: Annotated[float, typer.Option(min=0, help="Highest learning rate of its cycle.")] = 1.5e-3,
) -> None:
    """Train the miniature from nothing and write its weights. Seeded; resumable; bf16 autocast on CUDA."""
    work.mkdir(parents=True, exist_ok=True)
    wanted = STAGES[: STAGES.index(until) + 1]

    def runs(stage: str) -> bool:
        return stage in wanted and only in (None, stage)

    if runs("pictures"):
        draw_pictures(work / "pictures", pictures)
    if not any(runs(stage) for stage in STAGES[1:]):
        return
    torch.set_float32_matmul_precision("high")
    clip_tokenizer, t5_tokenizer = write_tokenizers(work)
    source = Pictures(work / "pictures", torch.device(device))
    # Finished stages load from their checkpoints: `train` then has no step left to do.
    if runs("vae") or runs("transformer"):
        vae = train_vae(source, work, steps=vae_steps)
    if runs("clip") or runs("transformer"):
        clips = {
            name: train_clip(name, source, clip_tokenizer, work, steps=clip_steps, batch=clip_batch) for name in TOWERS
        }
    if not runs("transformer"):
        return
    from transformers import CLIPTokenizer, T5TokenizerFast

    towers = [build_text_tower(clips[name]).to(device) for name in ("text_encoder", "text_encoder_2")]
    denoiser = train_transformer(
        source,
        vae,
        towers,
        CLIPTokenizer.from_pretrained(clip_tokenizer),
        T5TokenizerFast.from_pretrained(t5_tokenizer),
        work,
        steps=transformer_steps,
        batch=transformer_batch,
        peak=transformer_peak,
    )
    export(
        to,
        vae=vae,
        denoiser=denoiser,
        towers=towers,
        judge=clips["judge"],
        clip_tokenizer=clip_tokenizer,
        t5_tokenizer=t5_tokenizer,
    )
    typer.echo(f"weights written to {to}")


if __name__ == "__main__":
    typer.run(main)
