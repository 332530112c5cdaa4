"""
Replay: the compiled pipeline with the baseline's recorded outputs in place of its own denoiser's.

Rounding in the denoiser grows into other pictures, and hides what goes wrong beside it. With its outputs taken from a
record nothing grows: timesteps and latents of every call have to be the baseline's, embeddings differ by what the text
encoders round, and the picture by what the decoder does.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nearlossless.parity.denoiser_calls import DenoiserCall
from nearlossless.parity.upcasting import map_tensors
from nearlossless.record.quality import InputError, InputKind, ReplayRecord

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module


def relative_error(obtained: "Tensor", expected: "Tensor") -> float:
    """RMS distance in units of the expected RMS; infinite where either is not finite, or only the expected is zero."""
    import torch

    expected = expected.to(torch.float64)
    distance = float((obtained.to(expected.device, torch.float64) - expected).square().mean().sqrt())
    if distance == 0:
        return 0.0
    size = float(expected.square().mean().sqrt())
    return distance / size if size > 0 and math.isfinite(distance) else math.inf


def named_inputs(call: DenoiserCall) -> "dict[str, Tensor]":
    """The tensors that a denoiser is given by name, latents first; `timestep` is called so wherever it stands."""
    positions = dict(zip(["latents", "timestep"], call.arguments, strict=False))
    others = {f"argument {number}": value for number, value in enumerate(call.arguments) if number >= len(positions)}
    return dict(_tensors("", {**positions, **others, **call.options}))


def _tensors(name: str, value: Any) -> "Iterator[tuple[str, Tensor]]":
    import torch

    if isinstance(value, torch.Tensor):
        yield name, value
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from _tensors(f"{name}.{key}" if name else str(key), part)
    elif isinstance(value, tuple | list):
        for number, part in enumerate(value):
            yield from _tensors(f"{name}[{number}]", part)


@dataclass(slots=True)
class Player:
    """Stands in for a denoiser: compares what it is given with the recorded calls, and returns what they returned."""

    calls: Sequence[DenoiserCall]
    found: ReplayRecord = field(default_factory=ReplayRecord)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """The recorded output of the next call; beyond the last one, that one's again."""
        recorded = self.calls[min(self.found.calls, len(self.calls) - 1)]
        if self.found.calls < len(self.calls):
            self._compare(
                recorded, DenoiserCall(step=recorded.step, timestep=None, arguments=arguments, options=options)
            )
        self.found.calls += 1
        # The pipeline may write into what it gets.
        return map_tensors(recorded.returned, lambda tensor: tensor.clone())

    def _compare(self, recorded: DenoiserCall, given: DenoiserCall) -> None:
        expected, obtained = named_inputs(recorded), named_inputs(given)
        unlike = [
            f"{name}: {_shape(obtained.get(name))}, the baseline's {_shape(expected.get(name))}"
            for name in {**expected, **obtained}
            if _shape(obtained.get(name)) != _shape(expected.get(name))
        ]
        if unlike:
            self.found.unlike = self.found.unlike or f"call {self.found.calls + 1}: {unlike[0]}"
            return
        latents = next(iter(expected))
        self.found.eps = max(self.found.eps, _eps(expected[latents]), _eps(obtained[latents]))
        for name, tensor in expected.items():
            kind: InputKind = "latents" if name == latents else "timestep" if name == "timestep" else "conditioning"
            self._note(kind, name, relative_error(obtained[name], tensor))

    def compare_decoded(self, recorded: "Sequence[Tensor]", given: "Sequence[Tensor]") -> None:
        """Compare what the decoder is given: after the scheduler's last step the denoiser is not called again."""
        shapes = [[tuple(latents.shape) for latents in each] for each in (given, recorded)]
        if shapes[0] != shapes[1]:
            self.found.unlike = self.found.unlike or f"decoded latents: shapes {shapes[0]}, the baseline's {shapes[1]}"
            return
        for obtained, expected in zip(given, recorded, strict=True):
            self._note("decoded", "decoded latents", relative_error(obtained, expected))

    def _note(self, kind: InputKind, name: str, error: float) -> None:
        worst = self.found.errors.get(kind)
        if worst is None or error > worst.error:
            self.found.errors[kind] = InputError(name=name, call=self.found.calls + 1, error=error)


def _eps(tensor: "Tensor") -> float:
    import torch

    return torch.finfo(tensor.dtype).eps


def _shape(tensor: "Tensor | None") -> str:
    return "absent" if tensor is None else f"shape {tuple(tensor.shape)}"


@contextmanager
def played_by(denoiser: "Module", player: Player) -> Iterator[None]:
    """
    A module whose calls go to `player`, however it was compiled, and that is what it was afterwards.

    Written past `nn.Module.__setattr__`, which wrappers of compiled modules turn to the module inside.
    """
    attributes = vars(denoiser)
    former: dict[str, Any] = {
        name: attributes[name] for name in ("forward", "_compiled_call_impl") if name in attributes
    }
    attributes |= {"forward": player, "_compiled_call_impl": None}
    try:
        yield
    finally:
        del attributes["forward"], attributes["_compiled_call_impl"]
        attributes |= former
