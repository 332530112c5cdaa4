"""Defects of the transformer: its blocks, its attention, its weights."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

GROUP = 32  # weights that share a scale


def _set_weight(layer: Any, weight: torch.Tensor) -> None:
    """A new parameter: the former one is the baseline's, too."""
    layer.weight = nn.Parameter(weight.detach().clone(), requires_grad=False)


def _block_linears(pipeline: Any) -> list[nn.Linear]:
    blocks = pipeline.transformer.transformer_blocks
    return [part for part in blocks.modules() if isinstance(part, nn.Linear)]


def block_skipped(pipeline: Any) -> Any:
    """The third of four transformer blocks is left out."""

    def forward(hidden_states: torch.Tensor, encoder_hidden_states: torch.Tensor, *_: Any, **__: Any) -> Any:
        return encoder_hidden_states, hidden_states

    pipeline.transformer.transformer_blocks[2].forward = forward
    return pipeline


def attention_scale_off(pipeline: Any) -> Any:
    """The attention logits of one block are 2 % too large."""
    norm = pipeline.transformer.transformer_blocks[2].attn.norm_q
    _set_weight(norm, norm.weight * 1.02)
    return pipeline


def query_and_key_norms_dropped(pipeline: Any) -> Any:
    """Fused attention without the norms of queries and keys, as diffusers' own processor has it."""
    from diffusers.models.attention_processor import FusedJointAttnProcessor2_0

    for block in pipeline.transformer.transformer_blocks:
        block.attn.fuse_projections()
        block.attn.set_processor(FusedJointAttnProcessor2_0())
    return pipeline


def stale_keys_and_values(pipeline: Any) -> Any:
    """One block attends to the picture's keys and values of the former step."""
    for layer in (
        pipeline.transformer.transformer_blocks[1].attn.to_k,
        pipeline.transformer.transformer_blocks[1].attn.to_v,
    ):
        layer.forward = _delayed(layer.forward)
    return pipeline


def _delayed(forward: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[torch.Tensor], torch.Tensor]:
    """Returns what the call before this one computed, where it had the same shape."""
    former: list[torch.Tensor] = []

    def late(hidden_states: torch.Tensor) -> torch.Tensor:
        former.append(forward(hidden_states))
        stale = former.pop(0) if len(former) > 1 else former[0]
        return stale if stale.shape == former[-1].shape else former[-1]

    return late


def text_stream_not_updated(pipeline: Any) -> Any:
    """One block hands its text tokens on as they came."""
    block = pipeline.transformer.transformer_blocks[1]
    forward = block.forward

    def unchanged_text(*arguments: Any, **options: Any) -> Any:
        text = options["encoder_hidden_states"] if "encoder_hidden_states" in options else arguments[1]
        return text, forward(*arguments, **options)[1]

    block.forward = unchanged_text
    return pipeline


def modulation_gate_dropped(pipeline: Any) -> Any:
    """The gate of one block's feed-forward is left out."""
    norm = pipeline.transformer.transformer_blocks[1].norm1
    forward = norm.forward

    def ungated(*arguments: Any, **options: Any) -> Any:
        *first, gate = forward(*arguments, **options)
        return *first, torch.ones_like(gate)

    norm.forward = ungated
    return pipeline


def bias_lost(pipeline: Any) -> Any:
    """The feed-forward of one block loses the bias of its second layer."""
    pipeline.transformer.transformer_blocks[1].ff.net[2].bias = None
    return pipeline


def _rounded(weight: torch.Tensor, bits: int) -> torch.Tensor:
    """Symmetric rounding to `bits`, a scale for each group of a row."""
    most = 2 ** (bits - 1) - 1
    groups = weight.unflatten(1, (math.ceil(weight.shape[1] / GROUP), -1))
    scale = groups.abs().amax(dim=2, keepdim=True) / most
    restored: torch.Tensor = ((groups / scale).round() * scale).flatten(1)
    return restored


def _round_weights(pipeline: Any, bits: int) -> Any:
    for layer in _block_linears(pipeline):
        _set_weight(layer, _rounded(layer.weight, bits))
    return pipeline


def int4_weights(pipeline: Any) -> Any:
    """The blocks' weights are rounded to 4 bits, a scale for 32 weights."""
    return _round_weights(pipeline, 4)


def int3_weights(pipeline: Any) -> Any:
    """The blocks' weights are rounded to 3 bits, a scale for 32 weights."""
    return _round_weights(pipeline, 3)


def quantization_scale_wrong(pipeline: Any) -> Any:
    """One layer of 8-bit weights is restored with a scale that is 10 % too large."""
    layer = pipeline.transformer.transformer_blocks[1].ff.net[2]
    _set_weight(layer, _rounded(layer.weight, 8) * 1.1)
    return pipeline


def nan_weight(pipeline: Any) -> Any:
    """One weight is NaN."""
    layer = pipeline.transformer.transformer_blocks[1].ff.net[2]
    weight = layer.weight.detach().clone()
    weight[0, 0] = float("nan")
    _set_weight(layer, weight)
    return pipeline


def position_table_not_cropped(pipeline: Any) -> Any:
    """Positions are those of the table's corner, not of its centre, as where its crop is left out."""
    embedding = pipeline.transformer.pos_embed
    largest, width = embedding.pos_embed_max_size, embedding.pos_embed.shape[-1]

    def from_the_corner(height: int, breadth: int) -> torch.Tensor:
        rows, columns = height // embedding.patch_size, breadth // embedding.patch_size
        table = embedding.pos_embed.reshape(1, largest, largest, width)
        corner: torch.Tensor = table[:, :rows, :columns].reshape(1, -1, width)
        return corner

    embedding.cropped_pos_embed = from_the_corner
    return pipeline
