"""
How well the miniature follows its prompts, and how well its autoencoder restores pictures.

On captions that training never saw: how often the judge CLIP picks the right caption among ten, for drawn
and for generated pictures, and the reconstruction PSNR. Writes `docs/benchmarks/miniature.md`, `.json` and
the contact sheet `miniature.png`. Run by `tox run -e bench-miniature`; exit code 1 when a target is missed.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from scipy.stats import binomtest
from tqdm import tqdm
from transformers import CLIPImageProcessor, CLIPModel, CLIPTokenizer

from nearlossless.atomic import write_text
from nearlossless.cases.files import load_case
from nearlossless.environment import cpu_model, stack
from nearlossless.miniature import JUDGE, WEIGHTS
from nearlossless.miniature.training.clip import tokenize
from nearlossless.miniature.world import draw as draw_scene
from nearlossless.miniature.world import held_out_scenes
from nearlossless.pipelines.drawing import draw
from nearlossless.pipelines.libraries import quiet_libraries
from nearlossless.pipelines.loading import build_baseline
from nearlossless.pipelines.requests import Request

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "benchmarks"
CHOICES, SEED = 10, 7
TARGETS = {"drawn": 0.97, "generated": 0.90, "psnr_db": 28.0}
OTHER_SIZES = ((64, 64), (96, 160), (256, 256))
SHEET_COLUMNS, SHEET_ROWS, GAP = 8, 3, 4


def embeddings(pictures: Iterator[Image.Image] | list[Image.Image], captions: list[str]) -> np.ndarray:
    """Cosine of every picture with every caption, shape (pictures, captions)."""
    with quiet_libraries():
        clip = CLIPModel.from_pretrained(JUDGE, use_safetensors=True, local_files_only=True).float().eval()
        processor = CLIPImageProcessor.from_pretrained(JUDGE, local_files_only=True)
    ids = tokenize(CLIPTokenizer.from_pretrained(JUDGE), captions)
    image_embeds, text_embeds = [], []
    with torch.inference_mode():
        for picture in pictures:
            output = clip(input_ids=ids[:1], pixel_values=processor(picture, return_tensors="pt").pixel_values)
            image_embeds.append(output.image_embeds)
        pixels = torch.zeros(1, 3, 128, 128)
        text_embeds += [clip(input_ids=row, pixel_values=pixels).text_embeds for row in ids.split(100)]
    cosines: np.ndarray = (torch.cat(image_embeds) @ torch.cat(text_embeds).T).numpy()
    return cosines


def picks(cosines: np.ndarray) -> int:
    """How many pictures prefer their own caption to nine others drawn at random."""
    rng, right = np.random.default_rng(SEED), 0
    for row in range(len(cosines)):
        others = rng.choice(np.delete(np.arange(len(cosines)), row), CHOICES - 1, replace=False)
        right += bool(cosines[row, row] > cosines[row, others].max())
    return right


def best_of_all(cosines: np.ndarray) -> int:
    """How many pictures prefer their own caption to every other one of the set."""
    return int((cosines.argmax(axis=1) == np.arange(len(cosines))).sum())


def share(right: int, count: int) -> dict[str, float]:
    """A share with its exact 95 % interval (Clopper and Pearson)."""
    interval = binomtest(right, count).proportion_ci(0.95, "exact")
    return {"right": right, "of": count, "share": right / count, "low": interval.low, "high": interval.high}


def psnr_db(vae: Any, pictures: list[Image.Image]) -> list[float]:
    """Reconstruction PSNR of each picture in dB, on values in [0, 1]."""
    values = []
    with torch.inference_mode():
        for picture in pictures:
            pixels = torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
            restored = vae.decode(vae.encode(pixels).latent_dist.mean).sample.clamp(-1, 1)
            values.append(float(10 * torch.log10(4 / (restored - pixels).square().mean())))
    return values


def contact_sheet(pictures: list[Image.Image]) -> Image.Image:
    """The first pictures side by side."""
    side = pictures[0].width + GAP
    sheet = Image.new("RGB", (SHEET_COLUMNS * side - GAP, SHEET_ROWS * side - GAP), "white")
    for number, picture in enumerate(pictures[: SHEET_COLUMNS * SHEET_ROWS]):
        sheet.paste(picture, (number % SHEET_COLUMNS * side, number // SHEET_COLUMNS * side))
    return sheet


def _parameters(part: object) -> int:
    return sum(p.numel() for p in part.parameters()) if isinstance(part, torch.nn.Module) else 0


def measure(count: int) -> tuple[dict[str, Any], Image.Image]:
    """All figures, and the contact sheet."""
    case = load_case(ROOT / "baselines" / "miniature")
    generation, scenes = case.generation, held_out_scenes(count)
    captions = [scene.caption for scene in scenes]
    drawn = [draw_scene(scene) for scene in tqdm(scenes, desc="drawn")]
    pipeline = build_baseline(case, "cpu")
    start = time.perf_counter()
    generated = [
        draw(pipeline, generation, Request(caption, seed, generation.height, generation.width, generation.steps))
        for seed, caption in enumerate(tqdm(captions, desc="generated"))
    ]
    seconds = (time.perf_counter() - start) / count
    restored = {
        f"{width}x{height}": psnr_db(pipeline.vae, [draw_scene(scene, height, width) for scene in scenes[:100]])
        for height, width in ((128, 128), *OTHER_SIZES)
    }
    of_drawn, of_generated = embeddings(drawn, captions), embeddings(generated, captions)
    weights = sum(path.stat().st_size for path in WEIGHTS.rglob("*.safetensors"))
    figures = {
        "captions": count,
        "drawn": share(picks(of_drawn), count),
        "generated": share(picks(of_generated), count),
        "drawn_of_all": share(best_of_all(of_drawn), count),
        "generated_of_all": share(best_of_all(of_generated), count),
        "psnr_db": {size: {"mean": float(np.mean(v)), "worst": float(np.min(v))} for size, v in restored.items()},
        "weights_mb": weights / 1e6,
        "seconds_a_picture": seconds,
        "settings": {"steps": generation.steps, "guidance_scale": generation.guidance_scale, "choices": CHOICES},
        "parameters": sum(_parameters(part) for part in pipeline.components.values()),
        "cpu": cpu_model(),
        "threads": torch.get_num_threads(),
        "stack": stack(),
    }
    return figures, contact_sheet(generated)


def missed(figures: dict[str, Any]) -> list[str]:
    """The targets that the figures do not reach."""
    reached = {
        "drawn": figures["drawn"]["share"],
        "generated": figures["generated"]["share"],
        "psnr_db": figures["psnr_db"]["128x128"]["mean"],
    }
    return [f"{name}: {reached[name]:.3f} < {target}" for name, target in TARGETS.items() if reached[name] < target]


def render(figures: dict[str, Any]) -> str:
    """The page."""

    def row(name: str, title: str) -> str:
        s = figures[name]
        interval = f"{s['low']:.1%} to {s['high']:.1%}"
        target = f"{TARGETS[name]:.0%}" if name in TARGETS else "-"
        return f"| {title} | {s['share']:.1%} ({s['right']} of {s['of']}) | {interval} | {target} |"

    hardware = f"{figures['cpu']}, {figures['threads']} threads"
    lines = [
        "# The miniature",
        "",
        "Written by `tox run -e bench-miniature`. Captions were held out of training.",
        "",
        "| judge CLIP picks the right caption | share | 95 % interval | target |",
        "| --- | ---: | ---: | ---: |",
        row("drawn", f"among {CHOICES}, drawn pictures"),
        row("generated", f"among {CHOICES}, generated pictures"),
        row("drawn_of_all", f"among all {figures['captions']}, drawn pictures"),
        row("generated_of_all", f"among all {figures['captions']}, generated pictures"),
        "",
        "| autoencoder, reconstruction PSNR (100 pictures) | mean | worst |",
        "| --- | ---: | ---: |",
        *(f"| {size} | {v['mean']:.1f} dB | {v['worst']:.1f} dB |" for size, v in figures["psnr_db"].items()),
        "",
        f"Target: at least {TARGETS['psnr_db']:.0f} dB on average at 128x128.",
        f"All weights: {figures['weights_mb']:.1f} MB, {figures['parameters'] / 1e6:.1f} million parameters.",
        f"Settings: {figures['settings']['steps']} steps, guidance {figures['settings']['guidance_scale']}, float32.",
        f"One picture took {figures['seconds_a_picture']:.2f} s ({hardware}, torch {figures['stack']['torch']}).",
        "",
        "![Generated pictures of held-out captions](miniature.png)",
        "",
    ]
    return "\n".join(lines)


def main() -> int:
    """Measure, write, and tell missed targets."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--captions", type=int, default=500, help="held-out captions to judge (default: 500)")
    count = parser.parse_args().captions
    figures, sheet = measure(count)
    FOLDER.mkdir(parents=True, exist_ok=True)
    sheet.save(FOLDER / "miniature.png", optimize=True)
    write_text(FOLDER / "miniature.json", json.dumps(figures, indent=1) + "\n")
    write_text(FOLDER / "miniature.md", render(figures))
    misses = missed(figures)
    sys.stdout.write(render(figures) + "".join(f"MISSED {miss}\n" for miss in misses))
    return 1 if misses else 0


if __name__ == "__main__":
    sys.exit(main())
