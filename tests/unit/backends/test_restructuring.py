"""Fused projections, channels-last convolutions and chosen attention kernels, on the miniature and on small models."""

from typing import Any

import accelerate
import pytest
import torch
from diffusers import AutoencoderKL, FluxTransformer2DModel, SD3Transformer2DModel, UNet2DConditionModel
from diffusers.models.attention_processor import FusedJointAttnProcessor2_0
from torch import nn
from torch.nn import functional as F

from nearlossless.backends import BackendError
from nearlossless.backends.inductor import restructure
from nearlossless.backends.restructuring import fix_attention, fuse_qkv, to_channels_last
from nearlossless.pipelines.compiling import shared_copy


def sd3(**changes: Any) -> SD3Transformer2DModel:
    """A random SD3 transformer of two blocks, normed like SD3.5's."""
    torch.manual_seed(0)
    settings: dict[str, Any] = {
        "sample_size": 8,
        "num_layers": 2,
        "attention_head_dim": 8,
        "num_attention_heads": 2,
        "joint_attention_dim": 16,
        "caption_projection_dim": 16,
        "pooled_projection_dim": 16,
        "pos_embed_max_size": 8,
        "qk_norm": "rms_norm",
    }
    return SD3Transformer2DModel(**{**settings, **changes}).eval()


def output_of(model: Any) -> torch.Tensor:
    """What an SD3 transformer makes of one random latent."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        result: torch.Tensor = model(
            hidden_states=torch.randn(2, 16, 8, 8, generator=generator),
            encoder_hidden_states=torch.randn(2, 5, 16, generator=generator),
            pooled_projections=torch.randn(2, 16, generator=generator),
            timestep=torch.tensor([500.0, 500.0]),
            return_dict=False,
        )[0]
    return result


@pytest.mark.parametrize(
    "changes", [{}, {"qk_norm": None}, {"dual_attention_layers": (0,)}], ids=["SD3.5-Large", "SD3", "SD3.5-Medium"]
)
def test_fused_projections_compute_the_same(changes: dict[str, Any]) -> None:
    """With and without norms of queries and keys, with one attention and with two, fusing changes rounding only."""
    model = sd3(**changes)
    before = output_of(model)
    copied = shared_copy(model)
    fuse_qkv(copied)
    torch.testing.assert_close(output_of(copied), before, rtol=1e-4, atol=1e-5)


def test_norms_are_what_diffusers_leaves_out() -> None:
    """The difference that the former test would see: diffusers' own fused attention drops the norms."""
    model = sd3()
    before = output_of(model)
    fuse_qkv(model)
    for block in model.transformer_blocks:
        block.attn.set_processor(FusedJointAttnProcessor2_0())
    assert (output_of(model) - before).abs().max() > 0.01


def test_fusing_doubles_no_weights() -> None:
    """The separate projections leave the fused copy, and stay in the model that it was copied from."""
    model = sd3()
    copied = shared_copy(model)
    fuse_qkv(copied)
    assert sum(p.numel() for p in copied.parameters()) == sum(p.numel() for p in model.parameters())
    assert not hasattr(copied.transformer_blocks[0].attn, "to_q")
    assert hasattr(model.transformer_blocks[0].attn, "to_q")


def test_flux_is_fused_by_its_own_attention() -> None:
    """Flux's attention knows fused projections itself: one product gives queries, keys and values as before."""
    torch.manual_seed(0)
    model = FluxTransformer2DModel(
        in_channels=4,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        axes_dims_rope=(4, 4, 8),
    )
    attention, x = model.transformer_blocks[0].attn, torch.randn(1, 5, 32)
    separate = torch.cat([attention.to_q(x), attention.to_k(x), attention.to_v(x)], dim=-1)
    count = sum(p.numel() for p in model.parameters())
    fuse_qkv(model)
    torch.testing.assert_close(attention.to_qkv(x), separate)
    assert sum(p.numel() for p in model.parameters()) == count


def test_unknown_attention_is_not_fused() -> None:
    """A UNet's attention would need another processor: it is refused, not fused and left broken."""
    model = UNet2DConditionModel(
        sample_size=8, block_out_channels=(8, 8), layers_per_block=1, norm_num_groups=4, cross_attention_dim=8,
        attention_head_dim=4, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )  # fmt: skip
    with pytest.raises(BackendError, match="cannot fuse attention by AttnProcessor"):
        fuse_qkv(model)


def test_module_without_attention_is_not_fused() -> None:
    """An option that would do nothing is an error."""
    with pytest.raises(BackendError, match="Linear has no attention"):
        fuse_qkv(nn.Linear(4, 4))


class Adapter(nn.Linear):
    """Stands where a LoRA puts its layer: a linear that adds something of its own."""


def test_adapter_is_not_fused_away() -> None:
    """A projection that is more than a plain linear layer would lose the rest in the fusion."""
    model = sd3()
    model.transformer_blocks[1].attn.to_k = Adapter(16, 16)
    with pytest.raises(BackendError, match="'to_k' is a Adapter"):
        fuse_qkv(model)


def test_channels_last_leaves_shared_weights_alone() -> None:
    """The copy's convolutions are in channels-last order, the original's stay as they were, the picture stays."""
    torch.manual_seed(0)
    model = AutoencoderKL(block_out_channels=(8, 16), norm_num_groups=4, up_block_types=("UpDecoderBlock2D",) * 2,
                          down_block_types=("DownEncoderBlock2D",) * 2).eval()  # fmt: skip
    copied = shared_copy(model)
    to_channels_last(copied)
    weights = [(m.decoder.up_blocks[0].resnets[0].conv1.weight) for m in (copied, model)]
    assert [w.is_contiguous(memory_format=torch.channels_last) for w in weights] == [True, False]
    latents = torch.randn(1, 4, 4, 4)
    with torch.no_grad():
        torch.testing.assert_close(copied.decode(latents).sample, model.decode(latents).sample, rtol=1e-4, atol=1e-5)


def test_only_named_components_are_restructured() -> None:
    """Fusing the transformer fuses nothing else."""
    first, second = sd3(), sd3()
    for name, model in (("transformer", first), ("controlnet", second)):
        restructure(name, model, fuse_qkv=("transformer",))
    assert [hasattr(model.transformer_blocks[0].attn, "to_qkv") for model in (first, second)] == [True, False]


class Watched(nn.Module):
    """Tells which attention kernels are allowed while it runs."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, bool]:
        """Attention of x to itself, and whether the flash kernel was allowed."""
        return F.scaled_dot_product_attention(x, x, x), torch.backends.cuda.flash_sdp_enabled()


def test_attention_kernel_holds_inside_only() -> None:
    """The chosen kernel is the only one inside the module; before and after, all are allowed as before."""
    module, x = Watched(), torch.randn(1, 2, 8, 4)
    expected = module(x)[0]
    fix_attention(module, "math")
    attended, flash = module(x)
    assert flash is False
    assert torch.backends.cuda.flash_sdp_enabled()
    torch.testing.assert_close(attended, expected)


def test_attention_kernel_outlasts_offloading() -> None:
    """Offloading wraps the module and unwraps it after every call of the pipeline: the kernel stays chosen."""
    module, x = Watched(), torch.randn(1, 2, 8, 4)
    module.scale = nn.Parameter(torch.ones(1))  # by its weights the hook tells where a module lies
    _, hook = accelerate.cpu_offload_with_hook(module, "cpu")
    fix_attention(module, "math")
    assert module(x)[1] is False
    hook.remove()
    assert module(x)[1] is False
    accelerate.cpu_offload_with_hook(module, "cpu")
    assert module(x)[1] is False


def test_unknown_attention_kernel_is_an_error() -> None:
    """A kernel that torch does not have is an error that lists those it has."""
    with pytest.raises(BackendError, match=r"'fast'; known are cudnn, flash, efficient, math"):
        fix_attention(Watched(), "fast")
