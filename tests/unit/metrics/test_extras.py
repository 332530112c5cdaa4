"""Perceptual metrics where their packages are installed, and None where they are not."""

import importlib.util
import os
import sys
from pathlib import Path
from pickle import UnpicklingError
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from nearlossless.metrics import extras
from nearlossless.metrics.extras import flip, lpips
from nearlossless.metrics.pixels import Pixels
from nearlossless.metrics.scores import compare

needs_flip = pytest.mark.skipif(importlib.util.find_spec("flip_evaluator") is None, reason="flip is not installed")


def corrupted(picture: Image.Image, strength: int) -> Pixels:
    """The picture with one tile changed."""
    pixels_HWC = np.array(picture)
    pixels_HWC[32:48, 64:80] ^= strength
    return Pixels(Image.fromarray(pixels_HWC))


@pytest.mark.parametrize("missing", ["flip_evaluator", "torchvision.models"])
def test_missing_package_gives_no_score(missing: str, picture: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package there is no score and no error, and every other score is there."""
    extras._lpips_network.cache_clear()
    monkeypatch.setitem(sys.modules, missing, None)
    found = compare(corrupted(picture, 64), Pixels(picture))
    assert (found.flip if missing == "flip_evaluator" else found.lpips) is None
    assert found.worst_tile_ssim < 1


@needs_flip
def test_flip_is_of_the_worst_tile(picture: Image.Image) -> None:
    """A corrupted tile counts as itself: more the stronger it is, and more than as a mean over the whole picture."""
    from flip_evaluator import evaluate

    expected = Pixels(picture)
    values = [flip(corrupted(picture, strength), expected) or 0.0 for strength in (0, 16, 64, 128)]
    assert values[0] == 0
    assert values == sorted(values)
    arrays = [
        np.asarray(pixels.levels_CHW.permute(1, 2, 0), dtype=np.float32) / 255
        for pixels in (expected, corrupted(picture, 128))
    ]
    map_HWC, mean, _ = evaluate(*arrays, "LDR", applyMagma=False)
    assert values[-1] == pytest.approx(float(map_HWC[32:48, 64:80].mean()), rel=1e-4)
    assert values[-1] > 8 * mean


def test_weights_of_lpips_are_never_downloaded(
    picture: Image.Image, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With torchvision, but without the weights in torch's folder, there is no score and nothing is fetched."""
    weights = SimpleNamespace(DEFAULT=SimpleNamespace(url="https://download.pytorch.org/models/alexnet.pth"))
    monkeypatch.setitem(sys.modules, "torchvision.models", SimpleNamespace(AlexNet_Weights=weights))
    monkeypatch.setitem(sys.modules, "torchvision", SimpleNamespace())
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    extras._lpips_network.cache_clear()
    assert lpips(Pixels(picture), Pixels(picture)) is None
    assert list(tmp_path.iterdir()) == []
    extras._lpips_network.cache_clear()


def test_files_with_code_are_not_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Inside the context torch reads tensors and refuses a pickle of anything else, whatever its caller asked for."""
    monkeypatch.delenv("TORCH_FORCE_WEIGHTS_ONLY_LOAD", raising=False)
    torch.save({"weight": torch.ones(2)}, tmp_path / "tensors.pth")
    torch.save(Path("anything but a tensor"), tmp_path / "code.pth")
    with extras._tensors_only():
        assert torch.load(tmp_path / "tensors.pth", weights_only=False)["weight"].sum() == 2
        with pytest.raises(UnpicklingError):
            torch.load(tmp_path / "code.pth", weights_only=False)
    assert "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ
