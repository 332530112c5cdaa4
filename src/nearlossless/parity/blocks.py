"""Parity of a denoiser's parts: each alone, given the baseline's inputs, and which is the first to diverge."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from nearlossless.parity.denoiser_calls import DenoiserCall, same_layout
from nearlossless.parity.steps import compare_outputs, reference_dtype, reference_outputs, worst
from nearlossless.parity.upcasting import map_tensors, upcast
from nearlossless.record.quality import StepParity

if TYPE_CHECKING:
    from torch import dtype
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


def compare_blocks(call: DenoiserCall, baseline: "Module", compiled: Any, reference: "Module") -> dict[str, StepParity]:
    """
    The parity of each part alone, in the order in which the baseline calls them; of several calls the worst.

    Parts of the compiled denoiser are called directly: hooks inside compiled code are silently ignored.

    Args:
        call: One of the baseline's calls.
        baseline: Its denoiser; runs once more, with hooks for as long as that takes.
        compiled: The other.
        reference: The baseline one precision up.

    Returns:
        Nothing where the parts cannot be matched: other ones, or they do not take what the baseline's take.
    """
    originals, others, exact = parts_of(baseline), parts_of(compiled), parts_of(reference)
    if not originals or list(originals) != list(others):
        return {}
    found: dict[str, list[StepParity]] = {}
    refused: list[str] = []

    def compare(name: str, alone: DenoiserCall) -> None:
        if refused or not alone.outputs:
            return
        try:
            obtained = alone.repeated_with(others[name])
        except Exception:  # a block that was replaced need not take the former one's inputs
            refused.append(name)
            return
        wanted = reference_outputs(alone, _one_precision_up(exact[name], reference_dtype(alone.outputs)))
        found.setdefault(name, []).append(compare_outputs(call.step, alone.outputs, obtained, wanted))

    with _called_beside(originals, compare):
        call.repeated_with(baseline)
    return {} if refused else {name: worst(parities) for name, parities in found.items()}


def _one_precision_up(part: "Module", to: "dtype") -> Callable[..., Any]:
    return lambda *arguments, **options: part(*upcast(arguments, to), **upcast(options, to))


def first_divergence(blocks: Mapping[str, StepParity], *, max_ratio: float) -> str:
    """Words on the first part, in the order of calls, that is more than `max_ratio` baseline errors off."""
    if not blocks:
        return UNMATCHED
    for name, parity in blocks.items():
        if parity.problem is not None:
            return f"first diverges in {name}: {parity.problem}"
        if parity.ratio is not None and parity.ratio > max_ratio:
            return f"first diverges in {name}, {parity.ratio:.3g} times as far from the reference as the baseline's"
    return NONE_ALONE
