"""nexfort's quantized layers: what is refused anywhere, and the real library where it is installed."""

import importlib.util

import pytest
import torch
from torch import nn

from nearlossless.backends import BackendError, BackendUnavailable, nexfort
from nearlossless.backends.nexfort_probe import TRIED
from nearlossless.backends.nexfort_quantization import quantize, quantized_layers
from nearlossless.pipelines.compiling import shared_copy

FP8 = "fp8_e4m3_e4m3_dynamic_per_tensor"
needs_nexfort = pytest.mark.skipif(importlib.util.find_spec("nexfort") is None, reason="nexfort is not installed")


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a worker: the library was tried before; it is imported under this environment."""
    for name, value in TRIED.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(nexfort, "_imported_under", None)


def module() -> nn.Sequential:
    """Two linear layers, one of them too small for nexfort."""
    return nn.Sequential(nn.Linear(64, 64), nn.GELU(), nn.Linear(8, 8)).eval().to(torch.bfloat16)


def test_float32_is_refused() -> None:
    """Weights that nexfort does not quantize are an error before anything is tried."""
    with pytest.raises(BackendError, match="dtype is float32"):
        quantize(nn.Linear(64, 64), FP8)


def test_nothing_is_quantized_at_first() -> None:
    """A module that nobody quantized counts none."""
    assert quantized_layers(module()) == 0


@needs_nexfort
@pytest.mark.slow
@pytest.mark.usefixtures("tried")
@pytest.mark.parametrize("quant_type", [FP8, "int8_dynamic"])
def test_layers_of_the_copy_are_replaced(quant_type: str) -> None:
    """The large layer of a copy is quantized and counted; the original keeps its layers and their bits."""
    original = module()
    weight = original.get_parameter("0.weight")
    before = weight.clone()
    copied = shared_copy(original)
    quantize(copied, quant_type)
    assert quantized_layers(copied) == 1
    assert copied.state_dict()["0.weight"].dtype.itemsize == 1
    assert quantized_layers(original) == 0
    assert original.get_parameter("0.weight") is weight
    assert torch.equal(weight, before)


@needs_nexfort
@pytest.mark.slow
@pytest.mark.usefixtures("tried")
def test_nothing_to_quantize_is_an_error() -> None:
    """A module without a layer that nexfort takes is never passed off as quantized."""
    with pytest.raises(BackendError, match="no linear layer"):
        quantize(nn.Sequential(nn.Linear(8, 8)).to(torch.bfloat16), FP8)


@needs_nexfort
@pytest.mark.slow
def test_unknown_type_is_told_by_the_library() -> None:
    """A type that nexfort does not know is an error of the backend that names it."""
    with pytest.raises(BackendError, match="Unsupported quant_type: fp3"):
        quantize(module(), "fp3")


@needs_nexfort
@pytest.mark.slow
def test_missing_licence_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a licence the real library ends the trial's process; this one lives on and says what to set."""
    monkeypatch.delenv("SILICON_ONEDIFF_LICENSE_KEY", raising=False)
    with pytest.raises(BackendUnavailable, match=r"for want of a licence.*SILICON_ONEDIFF_LICENSE_KEY"):
        quantize(module(), "int8_dynamic")
