"""Stable Diffusion 3 on the CPU with and without torch.compile, and what it is asked to draw."""

import os
from typing import Any

import torch
from diffusers import DiffusionPipeline

PROMPTS = [
    "green square above orange circle on a plain yellow background",
    "blue ring left of purple square on yellow checkers",
    "orange star left of black triangle on green stripes",
    "large green ring top left on orange checkers",
]
SEEDS = [20, 21]


def baseline() -> Any:
    """The pipeline as diffusers loads it."""
    pipeline = DiffusionPipeline.from_pretrained(os.environ["PIPELINE"], torch_dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def compiled() -> Any:
    """The same with its repeated blocks compiled."""
    pipeline = baseline()
    for block in pipeline.transformer.transformer_blocks:
        block.compile(dynamic=True)
    return pipeline


def draw(
    pipeline: Any,
    prompt: str = PROMPTS[0],
    seed: int = SEEDS[0],
    *,
    size: tuple[int, int] = (128, 128),
    steps: int = 28,
) -> Any:
    """One picture; `size` is height and width."""
    height, width = size
    return pipeline(
        prompt,
        height=height,
        width=width,
        num_inference_steps=steps,
        guidance_scale=3.5,
        max_sequence_length=16,
        generator=torch.Generator().manual_seed(seed),
    ).images[0]
