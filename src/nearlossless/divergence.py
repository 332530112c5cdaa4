"""Which part of a denoiser is the first to diverge: each part alone, given the baseline's inputs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from nearlossless.denoiser_calls import DenoiserCall, same_layout
from nearlossless.parity import compare_outputs, reference_dtype, reference_outputs
from nearlossless.upcasting import map_tensors, upcast

if TYPE_CHECKING:
    from torch.nn import Module

UNMATCHED = "its blocks cannot be matched with the baseline's"
NONE_ALONE = "no block diverges when it is called alone"


def parts_of(denoiser: Any) -> "dict[str, Module]":
    """A denoiser's own children by name, each block of its ModuleLists by its own; empty for what is no module."""
    from torch import nn

    denoiser = getattr(denoiser, "_orig_mod", denoiser)  # as torch.compile wraps it
    if not isinstance(denoiser, nn.Module):
        return {}
    parts: dict[str, nn.Module] = {}
    for name, child in denoiser.named_children():
        if isinstance(child, nn.ModuleList):
            parts |= {f"{name}.{number}": block for number, block in child.named_children()}
        else:
            parts[name] = child
    return parts


@contextmanager
def _called_beside(parts: "dict[str, Module]", compare: Callable[[str, DenoiserCall], None]) -> Iterator[None]:
    """Hooks that hand each part's call, its inputs as they were before it, to `compare`."""
    inputs: dict[str, DenoiserCall] = {}

    def before(name: str, _: Any, arguments: Any, options: Any) -> None:
        arguments, options = map_tensors((arguments, options), same_layout)
        inputs[name] = DenoiserCall(step=0, timestep=None, arguments=arguments, options=options)

    def after(name: str, _: Any, __: Any, output: Any) -> None:
        call = inputs.pop(name)
        call.returned = output
        compare(name, call)

    hooks: list[Any] = []
    try:
        for name, part in parts.items():
            hooks.append(part.register_forward_pre_hook(partial(before, name), with_kwargs=True))
            hooks.append(part.register_forward_hook(partial(after, name)))
        yield
    finally:
        for hook in hooks:
            hook.remove()


def first_divergence(
    call: DenoiserCall, baseline: "Module", compiled: Any, reference: "Module", *, max_ratio: float
) -> str:
    """
    The first part, in the order in which the baseline calls them, that is too far off given the baseline's inputs.

    Parts of the compiled denoiser are called directly: hooks inside compiled code are silently ignored.

    Args:
        call: One of the baseline's calls at which the whole denoiser diverges.
        baseline: Its denoiser; runs once more, with hooks for as long as that takes.
        compiled: The other.
        reference: The baseline one precision up.
        max_ratio: How many times as far from its reference as the baseline's a part may be.

    Returns:
        Words for a verdict.
    """
    originals, others, exact = parts_of(baseline), parts_of(compiled), parts_of(reference)
    if not originals or list(originals) != list(others):
        return UNMATCHED
    told: list[str] = []

    def compare(name: str, alone: DenoiserCall) -> None:
        if not told and alone.outputs:
            told.extend(_divergence_alone(name, alone, others[name], exact[name], max_ratio))

    with _called_beside(originals, compare):
        call.repeated_with(baseline)
    return told[0] if told else NONE_ALONE


def _divergence_alone(
    name: str, call: DenoiserCall, compiled: "Module", reference: "Module", max_ratio: float
) -> list[str]:
    to = reference_dtype(call.outputs)
    exact = reference_outputs(call, lambda *args, **options: reference(*upcast(args, to), **upcast(options, to)))
    try:
        obtained = call.repeated_with(compiled)
    except Exception:  # a block that was replaced need not take the former one's inputs
        return [UNMATCHED]
    parity = compare_outputs(call.step, call.outputs, obtained, exact)
    if parity.problem is not None:
        return [f"first diverges in {name}: {parity.problem}"]
    if parity.ratio is None or parity.ratio <= max_ratio:
        return []
    return [f"first diverges in {name}, {parity.ratio:.3g} times as far from the reference as the baseline's"]
