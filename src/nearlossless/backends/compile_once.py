"""
A block compiled so that Dynamo traces it once, and the next blocks like it not at all.

Two habits of Dynamo's are in the way. With dynamic shapes (since torch 2.5) it first takes every number, such as the
epsilon of a norm, for one that may change, learns after tracing that it cannot keep most of them so, and begins anew.
And of an input that is a view of another tensor it guards the base too: the first block gets views, as a linear layer
returns them, the second what the first returned, which has no base, and is compiled again.
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn


def compile_once(part: nn.Module, **options: Any) -> None:
    """
    Compile a module in place as `part.compile(**options)` does, its numbers being constants and its inputs no views.

    Of a module with LoRAs the numbers stay what torch makes of them: a LoRA's scale is one that may change.
    """
    part.compile(**options)
    compiled = part._compiled_call_impl
    if compiled is None:  # torch.compile is switched off, TORCHDYNAMO_DISABLE
        return
    if not any(isinstance(getattr(each, "scaling", None), dict) for each in part.modules()):
        compiled = _with_constant_floats(compiled)
    part._compiled_call_impl = _without_views(compiled)


def _with_constant_floats(compiled: Callable[..., Any]) -> Callable[..., Any]:
    """Dynamo reads the setting while it compiles, which any call may begin; its own patch() takes ten times as long."""
    import torch._dynamo.config as settings

    def call(*arguments: Any, **options: Any) -> Any:
        former, settings.specialize_float = settings.specialize_float, True
        try:
            return compiled(*arguments, **options)
        finally:
            settings.specialize_float = former

    return call


def _without_views(compiled: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any, **options: Any) -> Any:
        return compiled(*map(_baseless, arguments), **{name: _baseless(value) for name, value in options.items()})

    return call


def _baseless(value: Any) -> Any:
    """The same memory without the tensor that it is a view of; what a gradient may flow through stays as it is."""
    return value.detach() if isinstance(value, Tensor) and value._is_view() and not value.requires_grad else value
