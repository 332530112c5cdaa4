"""All scores of a 1024x1024 pair, from decoded pictures to the last tile, against one call of torchmetrics' SSIM."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import torch
from PIL import Image
from torchmetrics.functional.image import structural_similarity_index_measure

from nearlossless.metrics import scores
from nearlossless.metrics.colour import worst_colour_difference
from nearlossless.metrics.levels import level_differences
from nearlossless.metrics.pixels import Pixels
from nearlossless.metrics.structure import ssim
from nearlossless.miniature.world import draw, scene_at
from nearlossless.torch_settings import restored_torch_settings

SIDE_PX = 1024


def pair() -> tuple[Image.Image, Image.Image]:
    """A drawn picture with noise, and without."""
    expected = draw(scene_at(0), SIDE_PX, SIDE_PX)
    noise_HWC = np.random.default_rng(0).normal(0, 8, (SIDE_PX, SIDE_PX, 3))
    noisy_HWC = np.clip(np.rint(np.asarray(expected) + noise_HWC), 0, 255).astype(np.uint8)
    return Image.fromarray(noisy_HWC), expected


def seconds(call: Callable[[], object]) -> float:
    """How long a call takes."""
    start = perf_counter()
    call()
    return perf_counter() - start


def parts_s(obtained: Image.Image, expected: Image.Image) -> dict[str, float]:
    """Seconds of each part of one comparison, in its order."""
    decoded: list[Pixels] = []
    return {
        "pixels": seconds(lambda: decoded.extend((Pixels(obtained), Pixels(expected)))),
        "SSIM and MS-SSIM": seconds(lambda: ssim(*decoded, multiscale=True)),
        "levels": seconds(lambda: level_differences(*decoded)),
        "colour": seconds(lambda: worst_colour_difference(*decoded)),
    }


@contextmanager
def without_extras() -> Iterator[None]:
    """Leave the optional FLIP and LPIPS out of every comparison."""
    before = {name: getattr(scores, name) for name in ("flip", "lpips")}
    try:
        for name in before:
            setattr(scores, name, lambda _obtained, _expected: None)
        yield
    finally:
        for name, score in before.items():
            setattr(scores, name, score)


def measure_scores(rounds: int) -> list[dict[str, Any]]:
    """Both in turn in this process, with one thread and with as many as torch takes by itself."""
    with restored_torch_settings(), without_extras():
        return [_measure_with(threads, rounds) for threads in sorted({1, torch.get_num_threads()})]


def _measure_with(threads: int, rounds: int) -> dict[str, Any]:
    torch.set_num_threads(threads)
    obtained, expected = pair()
    values = [torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 255 for picture in pair()]
    theirs, ours, parts = list[float](), list[float](), list[dict[str, float]]()
    for number in range(rounds + 1):
        their_s = seconds(partial(structural_similarity_index_measure, *values))
        our_s = seconds(lambda: scores.compare(Pixels(obtained), Pixels(expected)))
        if number:  # the first round warms up
            theirs.append(their_s)
            ours.append(our_s)
            parts.append(parts_s(obtained, expected))
    return {
        "threads": threads,
        "torchmetrics_ssim_s": theirs,
        "all_scores_s": ours,
        "ratios": [our_s / their_s for our_s, their_s in zip(ours, theirs, strict=True)],
        "parts_s": {part: median(round_s[part] for round_s in parts) for part in parts[0]},
    }
