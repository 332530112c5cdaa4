"""
All scores of a 1024x1024 pair, from decoded pictures to the last tile, against one call of torchmetrics' SSIM.

Both take turns in one process with the same number of threads; the ratio is of their medians. Prints the profile by
part; exit code 1 when the ratio is above 1.5. The optional FLIP and LPIPS are left out. Run by
`tox run -e bench-metrics`.
"""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from statistics import median
from time import perf_counter

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

SIDE_PX, MOST_RATIO = 1024, 1.5


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


def main() -> int:
    """Time both in turn, print, and say whether the ratio holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=9)
    repetitions = parser.parse_args().repetitions
    for optional in ("flip", "lpips"):
        setattr(scores, optional, lambda _obtained, _expected: None)
    obtained, expected = pair()
    values = [torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 255 for picture in pair()]
    theirs, ours, parts = list[float](), list[float](), list[dict[str, float]]()
    for number in range(repetitions + 1):
        their_s = seconds(partial(structural_similarity_index_measure, *values))
        our_s = seconds(lambda: scores.compare(Pixels(obtained), Pixels(expected)))
        if number:  # the first round warms up
            theirs.append(their_s)
            ours.append(our_s)
            parts.append(parts_s(obtained, expected))
    ratio = median(ours) / median(theirs)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, medians of {repetitions}")
    print(f"torchmetrics SSIM, float32: {median(theirs):.3f} s; all scores: {median(ours):.3f} s")
    for part in parts[0]:
        print(f"  {part}: {median(round_s[part] for round_s in parts):.3f} s")
    print(f"ratio {ratio:.2f}, required <= {MOST_RATIO}")
    return 0 if ratio <= MOST_RATIO else 1


if __name__ == "__main__":
    sys.exit(main())
