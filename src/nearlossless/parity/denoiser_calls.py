"""What a pipeline gives its denoiser, call by call: recorded once, given to others again and again."""

from collections.abc import Callable, Iterable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nearlossless.parity.upcasting import map_tensors

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module


@dataclass(slots=True, kw_only=True)
class DenoiserCall:
    """What a pipeline gave its denoiser at a step (from 0), and what came back."""

    step: int
    timestep: Any
    arguments: tuple[Any, ...]
    options: dict[str, Any]
    returned: Any = None

    @property
    def outputs(self) -> "list[Tensor]":
        """The floating-point tensors of what came back."""
        return flat_tensors(self.returned)

    def repeated_with(self, module: Callable[..., Any]) -> "list[Tensor]":
        """What `module` returns for copies of these inputs, laid out in memory as the pipeline's were."""
        import torch

        with torch.no_grad():  # as pipelines call: in another mode compiled code would be compiled again
            arguments, options = map_tensors((self.arguments, self.options), same_layout)
            return flat_tensors(module(*arguments, **options))


def same_layout(tensor: "Tensor") -> "Tensor":
    """
    A copy with the same strides, and a view where the tensor is one, of a copy of the same base.

    Compiled code is specialized on all of that: a plain clone of an expanded timestep would be compiled for anew.
    """
    import torch

    if tensor._is_view() and tensor._base is not None and tensor._base.dtype is tensor.dtype:
        base = tensor._base
        offset = tensor.storage_offset() - base.storage_offset()
        return same_layout(base).as_strided(tensor.shape, tensor.stride(), offset)
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=tensor.device).copy_(tensor)


def flat_tensors(output: Any) -> "list[Tensor]":
    """The floating-point tensors of an output in their order, out of tuples and output objects."""
    import torch

    if isinstance(output, torch.Tensor):
        return [output] if output.is_floating_point() else []
    parts = output.values() if isinstance(output, dict) else output if isinstance(output, tuple | list) else ()
    return [tensor for part in parts for tensor in flat_tensors(part)]


def _is_same(a: Any, b: Any) -> bool:
    import torch

    return torch.equal(a, b) if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor) else bool(a == b)


def record_calls(denoiser: "Module", draw: Callable[[], Any]) -> list[DenoiserCall]:
    """
    Draw with the baseline once and keep every call of its denoiser.

    Calls that follow each other with the same timestep are one step, since some pipelines guide with two. What is
    kept are latents and embeddings, each once and on its device: a few MB a step, since activations are not.
    """
    from torch.utils.weak import WeakTensorKeyDictionary

    calls = list[DenoiserCall]()
    copies: MutableMapping[Tensor, tuple[int, Tensor]] = WeakTensorKeyDictionary()

    def copied(tensor: "Tensor") -> "Tensor":
        if tensor not in copies or copies[tensor][0] != tensor._version:
            copies[tensor] = (tensor._version, same_layout(tensor))
        return copies[tensor][1]

    def before(_: Any, arguments: Any, options: Any) -> None:
        arguments, options = map_tensors((arguments, options), copied)
        timestep = options.get("timestep", arguments[1] if len(arguments) > 1 else object())
        step = calls[-1].step + (not _is_same(calls[-1].timestep, timestep)) if calls else 0
        calls.append(DenoiserCall(step=step, timestep=timestep, arguments=arguments, options=options))

    def after(_: Any, __: Any, output: Any) -> None:
        calls[-1].returned = map_tensors(output, lambda tensor: tensor.detach().clone())

    hooks = [denoiser.register_forward_pre_hook(before, with_kwargs=True), denoiser.register_forward_hook(after)]
    try:
        draw()
    finally:
        for hook in hooks:
            hook.remove()
    return calls


def calls_at(steps: Iterable[int], calls: Sequence[DenoiserCall]) -> list[DenoiserCall]:
    """The calls of these steps, and of the last in any case: pipelines may take another number of steps."""
    wanted = {*steps, calls[-1].step} if calls else set()
    return [call for call in calls if call.step in wanted]
