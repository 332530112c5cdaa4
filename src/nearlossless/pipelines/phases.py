"""When each phase of a call begins: text encoding, every denoising step, decoding."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from nearlossless.cases import Generation
from nearlossless.fields import Device
from nearlossless.pipelines.drawing import call
from nearlossless.pipelines.requests import Request
from nearlossless.record import PhaseTimes

DENOISING, STEP, DECODING, END = "denoising", "step", "decoding", "end"


class _HostMarks:
    """Times of the host's clock."""

    def __init__(self) -> None:
        self.marks: list[tuple[str, float]] = []

    def mark(self, name: str) -> None:
        self.marks.append((name, time.perf_counter()))

    def seconds(self) -> list[tuple[str, float]]:
        return self.marks


class _DeviceMarks:
    """Events in the GPU's queue: marking waits for nothing."""

    def __init__(self) -> None:
        self.marks: list[tuple[str, Any]] = []

    def mark(self, name: str) -> None:
        import torch

        event = torch.cuda.Event(enable_timing=True)
        event.record()
        self.marks.append((name, event))

    def seconds(self) -> list[tuple[str, float]]:
        import torch

        torch.cuda.synchronize()
        first = self.marks[0][1]
        return [(name, first.elapsed_time(event) / 1000) for name, event in self.marks]


@contextmanager
def _marked(owner: Any, method: str, name: str, mark: Callable[[str], None], *, after: bool) -> Iterator[None]:
    """`owner.method` marks the end (or the beginning) of each call, for as long as the block lasts."""
    original = getattr(owner, method)

    def marking(*arguments: Any, **options: Any) -> Any:
        if not after:
            mark(name)
        result = original(*arguments, **options)
        if after:
            mark(name)
        return result

    own = vars(owner).get(method)
    object.__setattr__(owner, method, marking)
    try:
        yield
    finally:
        if own is not None:
            object.__setattr__(owner, method, own)
        else:
            with suppress(AttributeError):
                object.__delattr__(owner, method)


def phase_times(pipeline: Any, generation: Generation, batch: Sequence[Request], device: Device) -> PhaseTimes | None:
    """
    Draw a batch once and tell how long each phase took, by device events on CUDA.

    Nothing is synchronized between the phases, and no compiled code sees the marks: they stand around `encode_prompt`
    and `vae.decode` and in the callback at a step's end.

    Returns:
        None for a user's own callable that has no such methods, or does not know the callback.
    """
    marks = _DeviceMarks() if device == "cuda" else _HostMarks()

    def at_step_end(_pipeline: Any, _step: int, _timestep: Any, values: dict[str, Any]) -> dict[str, Any]:
        marks.mark(STEP)
        return values

    try:
        with (
            _marked(pipeline, "encode_prompt", DENOISING, marks.mark, after=True),
            _marked(pipeline.vae, "decode", DECODING, marks.mark, after=False),
        ):
            marks.mark("start")
            call(pipeline, generation, batch, callback_on_step_end=at_step_end)
            marks.mark(END)
    except Exception:  # a user's own callable need not know the callback; that it draws was seen before
        return None
    return _times(marks.seconds())


def _times(marks: list[tuple[str, float]]) -> PhaseTimes | None:
    at: dict[str, list[float]] = {}
    for name, seconds in marks:
        at.setdefault(name, []).append(seconds)
    if not {DENOISING, STEP, DECODING} <= at.keys():
        return None
    start, begun, steps, decoding, end = at["start"][0], at[DENOISING][-1], at[STEP], at[DECODING][0], at[END][0]
    return PhaseTimes(
        text_encoding_s=begun - start,
        first_step_s=steps[0] - begun,
        later_steps_s=[after - before for before, after in zip(steps, steps[1:], strict=False)],
        decoding_s=end - decoding,
    )
