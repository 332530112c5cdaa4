"""A module one precision up, for the duration of a call and without a second copy of its weights."""

import dataclasses
from collections import UserDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nearlossless.pipelines.compiling import shared_copy

if TYPE_CHECKING:
    from torch import Tensor, device, dtype
    from torch.nn import Module


class _Upcasting(UserDict[str, Any]):
    """The parameters or buffers of one module by name; whoever looks one up gets it upcast, and nobody keeps it."""

    def __init__(self, tensors: dict[str, Any], to: "dtype", device: "device | None") -> None:
        super().__init__(tensors)
        self._to, self._device = to, device

    def __getitem__(self, name: str) -> Any:
        tensor = self.data[name]
        converted = upcast(tensor if tensor is None else tensor.to(device=self._device), self._to)
        if tensor is not None and tensor.requires_grad and not converted.requires_grad:
            converted.requires_grad_()  # torch.matmul chooses its kernel by it, even where no gradient is taken
        return converted


def map_tensors(value: Any, change: "Callable[[Tensor], Tensor]") -> Any:
    """`value` with every tensor in its tuples, lists, dictionaries and output objects changed."""
    import torch

    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, dict):
        mapped = {key: map_tensors(item, change) for key, item in value.items()}
        return type(value)(**mapped) if dataclasses.is_dataclass(value) else mapped
    if isinstance(value, tuple | list):
        return type(value)([map_tensors(item, change) for item in value])
    return value


def upcast(value: Any, to: "dtype") -> Any:
    """`value` with every floating-point tensor in it converted; integers and all else stay."""
    return map_tensors(value, lambda tensor: tensor.to(to) if tensor.is_floating_point() else tensor)


def upcast_copy(module: "Module", to: "dtype", *, device: "device | None" = None) -> "Module":
    """
    A copy that computes what `copy.deepcopy(module).to(to)` computes, bit for bit, from the module's own weights.

    Each weight is converted when it is looked up and forgotten after its use, so that about one layer at a time
    takes extra memory. Looking up happens in and outside of the owner's forward alike, so that code which asks for
    `self.proj.weight.dtype` or for the model's `dtype` sees the higher precision too. Inputs are upcast by the copy.

    Args:
        module: Left as it is, to the bit; must not be compiled.
        to: A floating-point dtype, usually one precision above the module's.
        device: Where the copy computes, wherever its weights wait; None: where they are.
    """
    copied: Module = shared_copy(module)
    for part in copied.modules():
        tables: dict[str, Any] = vars(part)
        for table in ("_parameters", "_buffers"):
            tables[table] = _Upcasting(tables[table], to, device)

    def upcast_inputs(_: Any, arguments: Any, options: Any) -> Any:
        return upcast(arguments, to), upcast(options, to)

    copied.register_forward_pre_hook(upcast_inputs, with_kwargs=True)
    return copied
