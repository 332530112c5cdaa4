"""Changes to a module's structure that leave its results alone, made before it is quantized and compiled."""

import functools
from typing import Any

import torch
from diffusers.models.attention import AttentionModuleMixin
from diffusers.models.attention_processor import Attention, JointAttnProcessor2_0
from torch import nn
from torch.nn import functional as F

from nearlossless.backends import BackendError

# What each fused projection stands for.
_FUSED = {
    "to_qkv": ("to_q", "to_k", "to_v"),
    "to_kv": ("to_k", "to_v"),
    "to_added_qkv": ("add_q_proj", "add_k_proj", "add_v_proj"),
}
ATTENTION_KERNELS = ("cudnn", "flash", "efficient", "math")


class FusedJointAttention:
    """
    SD3's joint attention on fused projections.

    Diffusers' own FusedJointAttnProcessor2_0 leaves out the norms of queries and keys, which SD3.5 was trained with,
    and cannot attend without text tokens, as SD3.5-Medium's second attention does.
    """

    def __call__(
        self, attn: Any, hidden_states: torch.Tensor, encoder_hidden_states: torch.Tensor | None = None, **_: Any
    ) -> Any:
        """Picture tokens (B, N, D) and text tokens (B, M, D) or None -> the same, each having seen both."""
        queries, keys, values = _heads(attn.to_qkv(hidden_states), attn.heads, attn.norm_q, attn.norm_k)
        if encoder_hidden_states is not None:
            projected = attn.to_added_qkv(encoder_hidden_states)
            added = _heads(projected, attn.heads, attn.norm_added_q, attn.norm_added_k)
            queries, keys, values = (
                torch.cat(pair, dim=2) for pair in zip((queries, keys, values), added, strict=True)
            )
        attended = F.scaled_dot_product_attention(queries, keys, values).transpose(1, 2).flatten(2).to(queries.dtype)
        count = hidden_states.shape[1]
        pictures = attn.to_out[1](attn.to_out[0](attended[:, :count]))
        if encoder_hidden_states is None:
            return pictures
        text = attended[:, count:]
        return pictures, text if attn.context_pre_only else attn.to_add_out(text)


def _heads(qkv: torch.Tensor, heads: int, norm_q: Any, norm_k: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(B, N, 3 D) -> three of (B, heads, N, D / heads), queries and keys normed."""
    queries, keys, values = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in qkv.chunk(3, dim=-1))
    return norm_q(queries) if norm_q else queries, norm_k(keys) if norm_k else keys, values


def fuse_qkv(module: nn.Module) -> None:
    """
    One matrix product for queries, keys and values; the separate weights leave this module, not those who share them.

    Raises:
        BackendError: The module has no attention, or one that cannot be fused.
    """
    attentions = [part for part in module.modules() if isinstance(part, Attention | AttentionModuleMixin)]
    if not attentions:
        raise BackendError(f"inductor: fuse_qkv: {type(module).__name__} has no attention of diffusers'")
    for attention in attentions:
        _fuse(attention)


def _fuse(attention: Any) -> None:
    is_joint = type(attention.processor) is JointAttnProcessor2_0
    if isinstance(attention, Attention) and not is_joint:
        raise BackendError(f"inductor: fuse_qkv: cannot fuse attention by {type(attention.processor).__name__}")
    parts = [name for names in _FUSED.values() for name in names]
    for name in parts:
        # A LoRA's layer hides its adapter from the fusion; a quantized weight cannot be joined.
        part = getattr(attention, name, None)
        if part is not None and (type(part) is not nn.Linear or type(part.weight) is not nn.Parameter):
            raise BackendError(f"inductor: fuse_qkv: '{name}' is a {type(part).__name__}, not a plain linear layer")
    attention.fuse_projections()
    if not attention.fused_projections:
        raise BackendError(f"inductor: fuse_qkv: {type(attention).__name__} does not support it")
    if is_joint:
        attention.set_processor(FusedJointAttention())
    for fused, names in _FUSED.items():
        for name in names:
            if hasattr(attention, fused) and hasattr(attention, name):
                delattr(attention, name)


def to_channels_last(module: nn.Module) -> None:
    """Give every 2-d convolution a weight in channels-last order; weights that others share stay as they are."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            weight = part.weight.detach().contiguous(memory_format=torch.channels_last)
            part.weight = nn.Parameter(weight, requires_grad=False)


def fix_attention(module: Any, kernel: str) -> None:
    """
    Run a module's attention with one of torch's kernels; nothing outside its forward pass is affected.

    Diffusers' set_attention_backend does not reach SD3's attention, and in newer versions sets a process-wide default.

    Args:
        module: Its forward is replaced.
        kernel: One of `ATTENTION_KERNELS`.

    Raises:
        BackendError: Unknown kernel.
    """
    from torch.nn.attention import SDPBackend, sdpa_kernel

    if kernel not in ATTENTION_KERNELS:
        raise BackendError(f"inductor: unknown attention '{kernel}'; known are {', '.join(ATTENTION_KERNELS)}")
    name = "MATH" if kernel == "math" else f"{kernel.upper()}_ATTENTION"
    # Offloading puts a wrapper around `forward` and later this attribute in its place, which the wrapper calls, too.
    attribute = "_old_forward" if hasattr(module, "_old_forward") else "forward"
    chosen, forward = getattr(SDPBackend, name), getattr(module, attribute)

    @functools.wraps(forward)
    def with_kernel(*args: Any, **options: Any) -> Any:
        with sdpa_kernel(chosen):
            return forward(*args, **options)

    setattr(module, attribute, with_kernel)
