"""The reference one precision up: the same bits as a converted copy, without holding one."""

import copy
import weakref
from typing import Any

import pytest
import torch
from diffusers import FluxTransformer2DModel, SD3Transformer2DModel, UNet2DConditionModel
from torch.utils._python_dispatch import TorchDispatchMode

from nearlossless.cases.case import Case
from nearlossless.parity.denoiser_calls import record_calls
from nearlossless.parity.upcasting import upcast, upcast_copy
from nearlossless.pipelines.drawing import draw
from nearlossless.pipelines.loading import build_baseline
from nearlossless.pipelines.requests import requests

Inputs = dict[str, Any]


def sd3() -> tuple[torch.nn.Module, Inputs]:
    """A tiny SD3 transformer with dual attention and qk-norm, and inputs for it."""
    model = SD3Transformer2DModel(
        sample_size=8,
        patch_size=1,
        in_channels=4,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=2,
        caption_projection_dim=16,
        joint_attention_dim=16,
        pooled_projection_dim=24,
        out_channels=4,
        qk_norm="rms_norm",
        dual_attention_layers=(0,),
    )
    inputs = {
        "hidden_states": torch.randn(2, 4, 8, 8),
        "encoder_hidden_states": torch.randn(2, 5, 16),
        "pooled_projections": torch.randn(2, 24),
        "timestep": torch.tensor(700.0).expand(2),
    }
    return model, inputs


def flux() -> tuple[torch.nn.Module, Inputs]:
    """A tiny Flux transformer with both kinds of blocks and guidance, and inputs for it."""
    model = FluxTransformer2DModel(
        in_channels=4,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=16,
        pooled_projection_dim=16,
        guidance_embeds=True,
        axes_dims_rope=(4, 4, 8),
    )
    inputs = {
        "hidden_states": torch.randn(1, 16, 4),
        "encoder_hidden_states": torch.randn(1, 5, 16),
        "pooled_projections": torch.randn(1, 16),
        "timestep": torch.tensor([0.7]),
        "guidance": torch.tensor([3.5]),
        "img_ids": torch.randint(0, 4, (16, 3)).float(),
        "txt_ids": torch.zeros(5, 3),
    }
    return model, inputs


def unet() -> tuple[torch.nn.Module, Inputs]:
    """A tiny conditional UNet as SDXL's, with time and text conditions added, and inputs for it."""
    model = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        norm_num_groups=4,
        cross_attention_dim=16,
        attention_head_dim=4,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=16 + 6 * 8,
    )
    inputs = {
        "sample": torch.randn(2, 4, 8, 8),
        "timestep": torch.tensor(700),
        "encoder_hidden_states": torch.randn(2, 5, 16),
        "added_cond_kwargs": {"text_embeds": torch.randn(2, 16), "time_ids": torch.rand(2, 6)},
    }
    return model, inputs


class ReadsDtypes(torch.nn.Module):
    """Reads weights outside of their owner's call, and its own dtype from its parameters, as T5 and others do."""

    def __init__(self) -> None:
        super().__init__()
        self.wo = torch.nn.Linear(4, 4)
        self.scale = torch.nn.Parameter(torch.rand(4))
        self.register_buffer("shift", torch.rand(4))
        self.register_buffer("numbers", torch.arange(4))

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Everything cast to the dtype of a weight that another module owns, or of the first parameter."""
        first = next(self.parameters()).dtype
        shift: Any = self.shift
        scaled = hidden_states.to(self.wo.weight.dtype) * self.scale + shift.to(first) * self.numbers
        projected: torch.Tensor = self.wo(scaled.to(self.wo.weight.dtype)) @ self.wo.weight
        return projected


def reads_dtypes() -> tuple[torch.nn.Module, Inputs]:
    """A module that looks at dtypes of weights, and inputs for it."""
    return ReadsDtypes(), {"hidden_states": torch.randn(3, 4)}


# What diffusers asks of attention in Flux came with torch 2.5.
HAS_FLUX = "enable_gqa" in str(torch.nn.functional.scaled_dot_product_attention.__doc__)
MODELS = pytest.mark.parametrize("make", [sd3, unet, reads_dtypes, *([flux] if HAS_FLUX else [])])
DTYPES = pytest.mark.parametrize(
    ("low", "high"), [(torch.bfloat16, torch.float32), (torch.float32, torch.float64)], ids=["bf16", "f32"]
)


def outputs(module: torch.nn.Module, inputs: Inputs) -> torch.Tensor:
    """The first tensor that a module returns."""
    with torch.no_grad():
        output = module(**inputs)
    return output if isinstance(output, torch.Tensor) else output[0]


@MODELS
@DTYPES
def test_upcast_copy_equals_a_converted_copy(make: Any, low: torch.dtype, high: torch.dtype) -> None:
    """The copy that shares the weights returns the very bits of a deep copy that was converted."""
    torch.manual_seed(0)
    module, inputs = make()
    module, inputs = module.to(low).eval(), upcast(inputs, low)
    expected = outputs(copy.deepcopy(module).to(high), upcast(inputs, high))
    obtained = outputs(upcast_copy(module, high), inputs)
    assert obtained.dtype is high
    assert torch.equal(obtained, expected)


@MODELS
def test_original_keeps_its_bits(make: Any) -> None:
    """After the reference ran, even into an error, the original has the same weights and returns the same bits."""
    torch.manual_seed(0)
    module, inputs = make()
    before, weights = outputs(module, inputs), copy.deepcopy(module.state_dict())
    reference = upcast_copy(module, torch.float64)
    outputs(reference, inputs)
    with pytest.raises((TypeError, RuntimeError)):
        reference(no_such_input=torch.ones(1))
    assert torch.equal(outputs(module, inputs), before)
    assert all(value.dtype is weights[name].dtype for name, value in module.state_dict().items())
    assert all(torch.equal(value, weights[name]) for name, value in module.state_dict().items())


def test_upcast_copy_equals_the_miniature_converted(quick_case: Case) -> None:
    """On what the miniature's own pipeline gives its transformer, the reference is the float64 transformer."""
    pipeline = build_baseline(quick_case, "cpu")
    request = requests(quick_case.generation)[0]
    calls = record_calls(pipeline.transformer, lambda: draw(pipeline, quick_case.generation, request))
    reference = upcast_copy(pipeline.transformer, torch.float64)
    converted = copy.deepcopy(pipeline.transformer).to(torch.float64)
    for call in calls:
        (obtained,) = call.repeated_with(reference)
        (expected,) = call.repeated_with(
            lambda *a, **k: converted(*upcast(a, torch.float64), **upcast(k, torch.float64))
        )
        assert torch.equal(obtained, expected)


class LiveConversions(TorchDispatchMode):
    """Counts the bytes of converted tensors that are alive at once."""

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0

    def _gone(self, size: int) -> None:
        self.live -= size

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation and follow what a conversion returned."""
        result = func(*args, **(kwargs or {}))
        if func is torch.ops.aten._to_copy.default:
            size = result.numel() * result.element_size()
            self.live += size
            self.peak = max(self.peak, self.live)
            weakref.finalize(result, self._gone, size)
        return result


def test_about_one_layer_is_upcast_at_a_time() -> None:
    """Conversions alive at once are one layer's, where a copy that is converted at once holds all sixteen."""
    layers, width = 16, 64
    module = torch.nn.Sequential(*(torch.nn.Linear(width, width) for _ in range(layers)))
    layer_bytes = (width * width + width) * torch.float64.itemsize
    reference = upcast_copy(module, torch.float64)
    with torch.no_grad(), LiveConversions() as looked_up:
        reference(torch.ones(1, width))
    with torch.no_grad(), LiveConversions() as converted_at_once:
        held = [weight.to(torch.float64) for weight in module.parameters()]
    assert layer_bytes <= looked_up.peak <= 1.5 * layer_bytes
    assert converted_at_once.peak == len(held) / 2 * layer_bytes
