"""Perceptual metrics of optional packages; None, and no error, where a package is not installed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nearlossless.metrics.tiles import tile_means

if TYPE_CHECKING:
    from nearlossless.metrics.pixels import Pixels


def flip(obtained: "Pixels", expected: "Pixels") -> float | None:
    """
    Mean FLIP error of the worst tile, in [0, 1]; 0 means identical. Needs the extra `flip`.

    Pictures have one size; they are seen at the package's default distance (67 pixels a degree).

    Source: Andersson et al. 2020, doi:10.1145/3406183; by flip-evaluator.
    """
    try:
        from flip_evaluator import evaluate
    except ImportError:
        return None
    import torch

    reference_HWC, test_HWC = (
        picture.scale.values_CHW.permute(1, 2, 0).float().contiguous().numpy() for picture in (expected, obtained)
    )
    map_HWC, _, _ = evaluate(reference_HWC, test_HWC, "LDR", applyMagma=False, computeMeanError=False)
    return float(tile_means(torch.from_numpy(map_HWC).permute(2, 0, 1)).max())


def lpips(obtained: "Pixels", expected: "Pixels") -> float | None:
    """
    LPIPS distance over AlexNet; 0 means identical.

    Needs torchvision and the weights that torchvision keeps in torch's hub folder
    (`checkpoints/alexnet-owt-7be5be79.pth`). They are never downloaded: without them there is no LPIPS. They are read
    as tensors only.

    Source: Zhang et al. 2018, arXiv:1801.03924; by torchmetrics.
    """
    import torch

    network = _lpips_network()
    if network is None:
        return None
    first, second = (picture.scale.values_CHW[None].float() for picture in (obtained, expected))
    with torch.inference_mode():
        return float(network(first, second))


@lru_cache(maxsize=1)
def _lpips_network() -> Any | None:
    try:
        from torchvision.models import AlexNet_Weights
    except (ImportError, RuntimeError):  # the latter where it was built for another torch
        return None
    import torch

    if not (Path(torch.hub.get_dir()) / "checkpoints" / Path(AlexNet_Weights.DEFAULT.url).name).is_file():
        return None
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

    with _tensors_only():
        return LearnedPerceptualImagePatchSimilarity(net_type="alex", normalize=True)


@contextmanager
def _tensors_only() -> Iterator[None]:
    """Torch reads files that hold pickles without running what is in them."""
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
