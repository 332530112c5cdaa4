"""When each phase of a call begins: text encoding, every denoising step, decoding."""

import inspect
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from nearlossless.cases.case import Generation
from nearlossless.fields import Device
from nearlossless.memory.peaks import SINCE_START, PeakMeter
from nearlossless.pipelines.drawing import draw_batch
from nearlossless.pipelines.requests import Request
from nearlossless.pipelines.watching import can_be_watched, watched
from nearlossless.record.speed import PHASES, PhaseTimes

START, DENOISING, STEP, DECODING, END = "start", "denoising", "step", "decoding", "end"


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


class PhasedCalls:
    """
    Calls of a pipeline that can tell afterwards when each phase of theirs began, by device events on CUDA.

    Nothing is synchronized between the phases, and no compiled code sees the marks: they stand around `encode_prompt`
    and `vae.decode`, and in the callback at a step's end.

    Args:
        draw: Draws with the pipeline; hands keyword arguments on to it.
        pipeline: One without such methods or callback, as a user's own callable may be, is called as it is.
        device: Where it draws.
    """

    def __init__(self, draw: Callable[..., object], pipeline: Any, device: Device) -> None:
        self._draw, self._pipeline = draw, pipeline
        self._new_marks = _DeviceMarks if device == "cuda" else _HostMarks
        self._calls: list[_HostMarks | _DeviceMarks] = []
        self._tells_phases = _has_phases(pipeline) and _knows_callback(pipeline)

    def __call__(self) -> None:
        """Draw once; raises what drawing raises."""
        if not self._tells_phases:
            self._draw()
            return
        marks = self._new_marks()
        self._calls.append(marks)

        def at_step_end(_pipeline: Any, _step: int, _timestep: Any, values: dict[str, Any]) -> dict[str, Any]:
            marks.mark(STEP)
            return values

        with _watched_phases(self._pipeline, lambda: marks.mark(DENOISING), lambda: marks.mark(DECODING)):
            marks.mark(START)
            self._draw(callback_on_step_end=at_step_end)
            marks.mark(END)

    def times(self, count: int) -> list[PhaseTimes]:
        """Of the last calls, as many as that, in their order; empty where one of them did not tell its phases."""
        found = [_times(marks.seconds()) for marks in self._calls[len(self._calls) - count :]]
        told = [each for each in found if each is not None]
        return told if len(told) == count else []


def _has_phases(pipeline: Any) -> bool:
    return can_be_watched(pipeline, "encode_prompt") and can_be_watched(getattr(pipeline, "vae", None), "decode")


def _knows_callback(pipeline: Any) -> bool:
    try:
        return "callback_on_step_end" in inspect.signature(pipeline).parameters
    except (TypeError, ValueError):  # of a builtin
        return False


@contextmanager
def _watched_phases(pipeline: Any, encoded: Callable[[], object], decoding: Callable[[], object]) -> Iterator[None]:
    """Tell when text encoding has ended, and when decoding begins."""
    with (
        watched(pipeline, "encode_prompt", after=encoded),
        watched(pipeline.vae, "decode", before=lambda *_, **__: decoding()),
    ):
        yield


def _times(marks: list[tuple[str, float]]) -> PhaseTimes | None:
    at: dict[str, list[float]] = {}
    for name, seconds in marks:
        at.setdefault(name, []).append(seconds)
    if not {DENOISING, STEP, DECODING} <= at.keys():
        return None
    start, begun, steps, decoding, end = at[START][0], at[DENOISING][-1], at[STEP], at[DECODING][0], at[END][0]
    return PhaseTimes(
        text_encoding_s=begun - start,
        first_step_s=steps[0] - begun,
        later_steps=len(steps) - 1,
        later_steps_s=steps[-1] - steps[0],
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
    if not _has_phases(pipeline):
        return {}
    peaks = _PhasePeaks(meter, text)
    with _watched_phases(pipeline, lambda: peaks.begin(denoising), lambda: peaks.begin(decoding)):
        draw_batch(pipeline, generation, batch)
    peaks.begin("")
    return peaks.bytes if peaks.bytes.keys() == set(PHASES) and peaks.kind != SINCE_START else {}
