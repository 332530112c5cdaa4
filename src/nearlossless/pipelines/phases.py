"""When each phase of a call begins: text encoding, every denoising step, decoding."""

import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from nearlossless.cases.case import Generation
from nearlossless.fields import Device
from nearlossless.memory.peaks import SINCE_START, PeakMeter
from nearlossless.pipelines.drawing import call, draw_batch
from nearlossless.pipelines.requests import Request
from nearlossless.pipelines.watching import watched
from nearlossless.record.speed import PHASES, PhaseTimes

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

        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]  # torch leaves it untyped
        event.record()
        self.marks.append((name, event))

    def seconds(self) -> list[tuple[str, float]]:
        import torch

        torch.cuda.synchronize()
        first = self.marks[0][1]
        return [(name, first.elapsed_time(event) / 1000) for name, event in self.marks]


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
            watched(pipeline, "encode_prompt", after=lambda: marks.mark(DENOISING)),
            watched(pipeline.vae, "decode", before=lambda *_, **__: marks.mark(DECODING)),
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
        later_steps_s=[after - before for before, after in pairwise(steps)],
        decoding_s=end - decoding,
    )


class _PhasePeaks:
    """Reads and resets a meter wherever a phase ends; of a phase that comes twice the higher peak counts."""

    def __init__(self, meter: PeakMeter, first: str) -> None:
        self._meter, self._phase = meter, first
        self.kind, self.bytes = "", dict[str, int]()
        meter.reset()

    def begin(self, phase: str) -> None:
        """End the phase so far."""
        peak = self._meter.read()
        self.kind = peak.kind
        self.bytes[self._phase] = max(self.bytes.get(self._phase, 0), peak.gated_bytes)
        self._phase = phase
        self._meter.reset()


def phase_peaks(pipeline: Any, generation: Generation, batch: Sequence[Request], meter: PeakMeter) -> dict[str, int]:
    """
    Draw a batch once and tell the peak bytes of each phase; what stays resident all the time counts in each.

    On CUDA the GPU is waited for where a phase ends: no call that is timed may be measured so.

    Returns:
        By the names of `PHASES`; empty for a user's own callable without such methods, for one that does not call
        each, and where the system cannot reset a peak.

    Raises:
        BackendError: The pipeline does not draw.
    """
    text, denoising, decoding = PHASES
    if not all(callable(getattr(owner, name, None)) for owner, name in _marked(pipeline)):
        return {}
    peaks = _PhasePeaks(meter, text)
    with (
        watched(pipeline, "encode_prompt", after=lambda: peaks.begin(denoising)),
        watched(pipeline.vae, "decode", before=lambda *_, **__: peaks.begin(decoding)),
    ):
        draw_batch(pipeline, generation, batch)
    peaks.begin("")
    return peaks.bytes if peaks.bytes.keys() == set(PHASES) and peaks.kind != SINCE_START else {}


def _marked(pipeline: Any) -> list[tuple[Any, str]]:
    return [(pipeline, "encode_prompt"), (getattr(pipeline, "vae", None), "decode")]
