"""
Python numbers of a model as constants of its compiled code.

With dynamic shapes Dynamo (since torch 2.5) first takes every number, such as the epsilon of a norm, for one that may
change, learns after tracing that it cannot keep most of them so, and begins anew. Told at once, it traces once.
"""

from collections.abc import Callable
from typing import Any

from torch import nn


def compile_with_constant_floats(part: nn.Module, **options: Any) -> None:
    """
    Compile a module in place as `part.compile(**options)` does, its numbers being constants.

    Of a module with LoRAs they stay what torch makes of them: a LoRA's scale is a number that may change.
    """
    part.compile(**options)
    has_loras = any(isinstance(getattr(each, "scaling", None), dict) for each in part.modules())
    if part._compiled_call_impl is not None and not has_loras:
        part._compiled_call_impl = _with_constant_floats(part._compiled_call_impl)


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
