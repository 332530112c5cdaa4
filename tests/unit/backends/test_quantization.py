"""torchao's int8 on the miniature, and each way in which a scheme cannot run here."""

import importlib.util
import sys
import types
from typing import Any

import pytest
import torch
from torch import nn

from nearlossless.backends import BackendError, BackendUnavailable
from nearlossless.backends.quantization import quantize, quantized_layers
from nearlossless.cases.case import Case
from nearlossless.cases.recipes import Recipe
from nearlossless.metrics.pixels import Pixels
from nearlossless.metrics.structure import ssim
from nearlossless.pipelines.compiling import build_alone, build_compiled, copy_pipeline, shared_copy
from nearlossless.pipelines.drawing import draw
from nearlossless.pipelines.loading import build_baseline
from nearlossless.pipelines.requests import requests

needs_torchao = pytest.mark.skipif(importlib.util.find_spec("torchao") is None, reason="torchao is not installed")
T5 = "text_encoder_3"
IDENTITY = "identity_backend:fast"


@pytest.fixture(scope="module")
def baseline(quick_case: Case) -> Any:
    """The miniature's baseline pipeline on the CPU."""
    return build_baseline(quick_case, "cpu")


@pytest.fixture
def int8() -> Recipe:
    """A recipe that quantizes the transformer and leaves the rest to a backend that does nothing."""
    return Recipe(backend=IDENTITY, touches=("transformer",), quantization={"transformer": "int8"})


@pytest.fixture(autouse=True)
def _identity_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("identity_backend")
    module.fast = lambda pipeline: pipeline  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "identity_backend", module)


class Model(nn.Module):
    """Blocks of linears, and linears around them."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(32, 32)
        self.blocks = nn.ModuleList(
            nn.ModuleDict({"ff": nn.Linear(32, 64), "odd": nn.Linear(32, 24), "norm1": nn.Linear(32, 96)})
            for _ in range(2)
        )
        self.proj_out = nn.Linear(32, 32)


def quantized_names(module: nn.Module) -> list[str]:
    """Which layers hold quantized weights."""
    return [name for name, part in module.named_modules() if isinstance(part, nn.Linear) and quantized_layers(part)]


@needs_torchao
def test_block_linears_are_quantized() -> None:
    """Only the blocks' own large linears are: not what lies around them, no odd shape, no modulation."""
    module = Model()
    quantize(module, "int8")
    assert quantized_names(module) == ["blocks.0.ff", "blocks.1.ff"]
    assert quantized_layers(module) == 2


def test_unquantized_module_has_no_quantized_layer() -> None:
    """A module that nobody quantized counts none."""
    assert quantized_layers(Model()) == 0


@needs_torchao
def test_weights_shrink_to_a_quarter(baseline: Any) -> None:
    """A quantized weight takes one byte where the float32 one took four, plus a scale for each row."""
    module = shared_copy(baseline.transformer)
    weight = module.transformer_blocks[0].ff.net[2].weight
    quantize(module, "int8")
    quantized = module.transformer_blocks[0].ff.net[2].weight
    assert quantized.qdata.nbytes == weight.nbytes // 4
    assert quantized.scale.numel() == weight.shape[0]


@needs_torchao
@pytest.mark.parametrize("component", ["transformer", T5])
def test_baseline_keeps_every_bit(baseline: Any, quick_case: Case, component: str) -> None:
    """Quantizing the copy moves its picture a little, and not a bit of the baseline's weights or picture."""
    request = requests(quick_case.generation)[0]
    weights = {name: tensor.clone() for name, tensor in getattr(baseline, component).state_dict().items()}
    before = draw(baseline, quick_case.generation, request)
    second = copy_pipeline(baseline, (component,))
    quantize(getattr(second, component), "int8")
    obtained = draw(second, quick_case.generation, request)
    assert obtained.tobytes() != before.tobytes()
    assert ssim(Pixels(obtained), Pixels(before)).worst_tile_ssim > 0.9
    assert draw(baseline, quick_case.generation, request).tobytes() == before.tobytes()
    assert all(torch.equal(tensor, weights[name]) for name, tensor in getattr(baseline, component).state_dict().items())


@needs_torchao
def test_alone_draws_what_it_draws_beside_the_baseline(baseline: Any, quick_case: Case, int8: Recipe) -> None:
    """A quantized pipeline built alone draws the bits of the one built from the baseline, and still does after .to."""
    request = requests(quick_case.generation)[0]
    beside = draw(build_compiled(baseline, int8), quick_case.generation, request).tobytes()
    alone = build_alone(quick_case, int8, "cpu")
    assert draw(alone, quick_case.generation, request).tobytes() == beside
    assert draw(alone.to("cpu"), quick_case.generation, request).tobytes() == beside


def test_alone_puts_quantized_components_on_the_device_first(quick_case: Case) -> None:
    """Each component is changed before the next one is placed, the quantized ones before all others."""
    placed: list[str] = []
    build_baseline(quick_case, "cpu", on_component=lambda name, _module: placed.append(name), first=(T5,))
    assert placed[0] == T5
    assert sorted(placed) == ["text_encoder", "text_encoder_2", "text_encoder_3", "transformer", "vae"]


def test_missing_torchao_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without torchao the error comes before anything is drawn, and names the package."""
    monkeypatch.setitem(sys.modules, "torchao", None)
    with pytest.raises(BackendUnavailable, match="pip install torchao=="):
        quantize(Model(), "int8")


def test_old_torchao_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """A torchao without the configuration that is needed is told like a missing one."""
    package = types.ModuleType("torchao")
    package.quantization, package.utils = types.ModuleType("quantization"), types.ModuleType("utils")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torchao", package)
    monkeypatch.setitem(sys.modules, "torchao.utils", package.utils)
    with pytest.raises(BackendUnavailable, match=r"too old.*pip install torchao=="):
        quantize(Model(), "int8")


def test_float8_on_a_cpu_says_what_it_needs() -> None:
    """Float8 needs a GPU that multiplies it, and the error says from which generation on."""
    with pytest.raises(BackendUnavailable, match=r"compute capability 8\.9.*'int8' runs here"):
        quantize(Model(), "float8")


@pytest.mark.parametrize(("capability", "error"), [((8, 6), r"capability 8\.9"), ((8, 9), "bfloat16")])
def test_float8_is_refused_below_its_capability(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], error: str
) -> None:
    """Compute capability 8.6 is refused for what it is; 8.9 gets as far as the weights' dtype."""
    module = Model()
    on_cuda = types.SimpleNamespace(device=torch.device("cuda"))
    monkeypatch.setattr(nn.Module, "parameters", lambda _self: iter([on_cuda]))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _device: "a GPU")
    with pytest.raises(BackendUnavailable, match=error):
        quantize(module, "float8")


def test_unknown_scheme_is_an_error() -> None:
    """A scheme that slipped past a case file is an error that lists what there is."""
    with pytest.raises(BackendError, match="unknown scheme 'int3'; known are float8, int8"):
        quantize(Model(), "int3")


@needs_torchao
def test_component_that_is_no_module_cannot_be_quantized(baseline: Any) -> None:
    """A scheduler has no weights: quantizing it is an error that names it."""
    recipe = Recipe(backend=IDENTITY, touches=("scheduler",), quantization={"scheduler": "int8"})
    with pytest.raises(BackendError, match="no module 'scheduler'"):
        build_compiled(baseline, recipe)


@pytest.mark.parametrize("touches", [None, ("transformer",)])
def test_recipe_restructures_the_same_beside_the_baseline_and_alone(
    baseline: Any, quick_case: Case, touches: tuple[str, ...] | None
) -> None:
    """A component is restructured in the session as in a process of its own, also where 'touches' names none."""
    recipe = Recipe(backend="inductor", touches=touches, options={"fuse_qkv": ["transformer"]})
    for pipeline in (build_compiled(baseline, recipe), build_alone(quick_case, recipe, "cpu")):
        assert hasattr(pipeline.transformer.transformer_blocks[0].attn, "to_qkv")


def test_missing_component_cannot_be_quantized(baseline: Any) -> None:
    """A component that the pipeline does not have is an error that names it, also where 'touches' names none."""
    recipe = Recipe(backend=IDENTITY, quantization={"text_encoder_9": "int8"})
    with pytest.raises(BackendError, match="no module 'text_encoder_9'"):
        build_compiled(baseline, recipe)
