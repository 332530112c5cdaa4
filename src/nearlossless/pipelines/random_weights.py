"""Weights drawn at random, at the magnitudes of trained ones, straight on their device."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

SMALL = 0.02  # of biases, and of norms' deviation from 1


@contextmanager
def without_weights() -> Iterator[None]:
    """Modules made inside have parameters without memory, and their buffers as their own code computes them."""
    from accelerate import init_empty_weights
    from diffusers.models.modeling_utils import no_init_weights

    with no_init_weights(), init_empty_weights(include_buffers=False):
        yield


def _spread(config: Any, part: nn.Module, path: str, shape: torch.Size) -> float:
    """Standard deviation of a matrix or kernel: what keeps the variance of its input, unless it looks things up."""
    if isinstance(part, nn.Embedding):
        return float(getattr(config, "initializer_range", 1.0))  # CLIP names 0.02; T5's rows are of unit variance
    inputs = math.prod(shape[1:])
    if getattr(config, "model_type", None) == "t5" and path.endswith(".q"):
        # T5 does not divide its attention logits by sqrt(d_kv): trained queries are that much smaller.
        inputs *= config.d_kv
    return 1 / math.sqrt(inputs)


def stays_float32(module: nn.Module, path: str, dtype: torch.dtype) -> bool:
    """Whether from_pretrained would leave a parameter in float32, as T5's `wo` in fp16."""
    from transformers import PreTrainedModel

    kept = getattr(module, "_keep_in_fp32_modules", None) or ()
    if isinstance(module, PreTrainedModel) and dtype is not torch.float16:
        kept = ()
    return any(name in path.split(".") for name in kept)


def materialize(module: nn.Module, *, device: str, dtype: torch.dtype, seed: int) -> None:
    """
    Give a module that was made `without_weights` random weights, in place, one tensor after the other.

    Matrices are normal with variance 1 / inputs, so that unit activations stay of unit order; norms are close to 1,
    biases close to 0, and nothing is constant: a GPU's clocks depend on the data that it multiplies.

    Args:
        module: Parameters on the meta device, buffers on the CPU.
        device: Where the weights are drawn; the same seed gives other bits on another kind of device.
        dtype: Of the weights, and of the buffers that a checkpoint would hold.
        seed: From 0 up.
    """
    generator = torch.Generator(device).manual_seed(seed)
    config = getattr(module, "config", None)
    made: dict[nn.Parameter, nn.Parameter] = {}  # an empty parameter under two names is a tied weight
    for path, part in module.named_modules():
        for name, empty in part._parameters.items():
            if empty is None:
                continue
            if empty not in made:
                kept = torch.float32 if stays_float32(module, path, dtype) else dtype
                weight = torch.empty(empty.shape, dtype=kept, device=device)
                if weight.dim() > 1:
                    weight.normal_(0.0, _spread(config, part, path, weight.shape), generator=generator)
                else:
                    weight.normal_(0.0 if name.endswith("bias") else 1.0, SMALL, generator=generator)
                made[empty] = nn.Parameter(weight)
            part._parameters[name] = made[empty]
        for name, buffer in part._buffers.items():
            if buffer is not None:
                is_stored = buffer.is_floating_point() and name not in part._non_persistent_buffers_set
                part._buffers[name] = buffer.to(device, dtype if is_stored else None)
