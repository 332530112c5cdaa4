"""One generation of the baseline, kept: what its denoiser was given and returned at every step, and the pictures."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from nearlossless.backends import BackendError, denoiser
from nearlossless.cases.case import Case
from nearlossless.measuring import baseline_drawer
from nearlossless.parity.denoiser_calls import DenoiserCall, record_calls
from nearlossless.parity.steps import reference_dtype, reference_outputs
from nearlossless.parity.upcasting import upcast_copy
from nearlossless.pipelines.placing import without_offload
from nearlossless.pipelines.requests import batches
from nearlossless.pipelines.watching import can_be_watched, watched

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor


def denoiser_of(pipeline: Any) -> Any:
    """The component that denoises, if it can be called alone; a user's own callable need not have one."""
    try:
        part = getattr(pipeline, denoiser(pipeline))
    except BackendError:
        return None
    return part if callable(part) else None


@contextmanager
def decoded_latents(pipeline: Any) -> "Iterator[list[Tensor]]":
    """What the VAE is given to decode in this block, call by call; nothing of a pipeline without one."""
    found: list[Tensor] = []

    def keep(*arguments: Any, **options: Any) -> None:
        latents = arguments[0] if arguments else next(iter(options.values()))
        found.append(latents.detach().clone())

    decodes = can_be_watched(getattr(pipeline, "vae", None), "decode")
    with watched(pipeline.vae, "decode", before=keep) if decodes else nullcontext():
        yield found


@dataclass(kw_only=True)
class Recording:
    """The case's first batch as the baseline draws it. `problem` says why there are no calls of the denoiser."""

    pipeline: Any
    denoiser: Any = None
    calls: list[DenoiserCall] = field(default_factory=list)
    decoded: "list[Tensor]" = field(default_factory=list)
    pictures: "Sequence[Image.Image]" = ()
    problem: str | None = None
    _exact: "dict[int, list[Tensor]]" = field(default_factory=dict)

    @cached_property
    def reference(self) -> Any:
        """The baseline's denoiser one precision up, on the device where it computes."""
        outputs = self.calls[0].outputs
        with without_offload(self.pipeline):  # a copy of the hooks would copy what they move
            return upcast_copy(self.denoiser, reference_dtype(outputs), device=outputs[0].device)

    def exact(self, call: DenoiserCall) -> "list[Tensor]":
        """What the reference returns at a call, computed once."""
        if id(call) not in self._exact:
            self._exact[id(call)] = reference_outputs(call, self.reference)
        return self._exact[id(call)]


def record_baseline(baseline: Any, case: Case) -> Recording:
    """
    Draw the case's first batch with the baseline and keep what its denoiser was given and returned.

    Raises:
        BaselineError: The baseline does not draw.
    """
    part = denoiser_of(baseline)
    if part is None:
        return Recording(pipeline=baseline, problem="the baseline pipeline has no transformer or unet to be called")
    recording = Recording(pipeline=baseline, denoiser=part)

    def draw() -> None:
        with decoded_latents(baseline) as recording.decoded:
            recording.pictures = baseline_drawer(baseline, case)(batches(case.generation)[0])

    recording.calls = record_calls(part, draw)
    if not recording.calls:
        recording.problem = "the baseline pipeline drew without calling its denoiser"
    return recording
