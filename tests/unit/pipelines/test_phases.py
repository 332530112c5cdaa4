"""Where the time of a call goes, and that looking changes nothing."""

import inspect
import os
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from nearlossless.cases.case import Case
from nearlossless.cases.thresholds import Thresholds
from nearlossless.gates import judge_speedup
from nearlossless.memory.peaks import SINCE_START, Kind, Peak, ResidentPeak
from nearlossless.pipelines.drawing import call, draw
from nearlossless.pipelines.loading import build_baseline
from nearlossless.pipelines.phases import PhasedCalls, phase_peaks
from nearlossless.pipelines.requests import batches, requests
from nearlossless.pipelines.watching import watched
from nearlossless.record.speed import PhaseTimes, Speeds
from nearlossless.speed.latencies import PairedLatencies
from nearlossless.verdicts import Outcome

MIB = 1024**2


@pytest.fixture(scope="module")
def baseline(tiny_case: Case) -> Any:
    """The miniature's pipeline."""
    return build_baseline(tiny_case, "cpu")


def times(text: float, steps: list[float], decoding: float) -> PhaseTimes:
    """One call's phases."""
    return PhaseTimes(
        text_encoding_s=text,
        first_step_s=steps[0],
        later_steps=len(steps) - 1,
        later_steps_s=sum(steps[1:]),
        decoding_s=decoding,
    )


def phased(pipeline: Any, case: Case) -> PhasedCalls:
    """Calls of a pipeline that tell their phases."""
    return PhasedCalls(partial(call, pipeline, case.generation, batches(case.generation)[0]), pipeline, "cpu")


def slowed(owner: Any, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a method of the pipeline compute ten times over."""
    original = getattr(owner, method)

    def repeated(*arguments: Any, **options: Any) -> Any:
        for _ in range(9):
            original(*arguments, **options)
        return original(*arguments, **options)

    monkeypatch.setattr(owner, method, repeated)


@pytest.mark.parametrize("phase", ["text encoding", "denoising", "decoding"])
def test_slow_phase_is_told_from_the_others(
    baseline: Any, tiny_case: Case, phase: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The phase that computes ten times over takes the largest part of the call."""
    owner = {"text encoding": baseline, "denoising": baseline.transformer, "decoding": baseline.vae}[phase]
    slowed(owner, {"text encoding": "encode_prompt", "denoising": "forward", "decoding": "decode"}[phase], monkeypatch)
    calls = phased(baseline, tiny_case)
    calls()
    (found,) = calls.times(1)
    assert max(found.seconds, key=lambda name: found.seconds[name]) == phase
    assert found.later_steps == tiny_case.generation.steps - 1


def test_looking_leaves_the_pipeline_as_it_was(baseline: Any, tiny_case: Case) -> None:
    """Afterwards its methods are its class's again, and it draws the same bits."""
    request = requests(tiny_case.generation)[0]
    before = draw(baseline, tiny_case.generation, request).tobytes()
    phased(baseline, tiny_case)()
    assert "encode_prompt" not in vars(baseline)
    assert "decode" not in vars(baseline.vae)
    assert draw(baseline, tiny_case.generation, request).tobytes() == before


def test_phases_are_those_of_the_last_calls(baseline: Any, tiny_case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three calls, the last of which decodes ten times over, the last two are told in their order."""
    calls = phased(baseline, tiny_case)
    calls()
    calls()
    slowed(baseline.vae, "decode", monkeypatch)
    calls()
    second, third = calls.times(2)
    assert third.decoding_s > 3 * second.decoding_s


class Slotted:
    """A pipeline whose methods cannot be replaced."""

    __slots__ = ("vae",)

    def __init__(self) -> None:
        self.vae = SimpleNamespace(decode=print)

    def encode_prompt(self) -> None:
        """Encode nothing."""


class Quiet(Slotted):
    """A pipeline that has the methods, and neither calls them nor the callback."""

    def __call__(self, *, callback_on_step_end: Any = None) -> None:
        """Draw nothing."""


class WithoutCallback(Slotted):
    """A pipeline that does not know the callback."""

    def __call__(self) -> None:
        """Draw nothing."""


@pytest.mark.parametrize(
    "pipeline", [lambda: None, SimpleNamespace(vae=None, encode_prompt=None), Slotted(), Quiet(), WithoutCallback()]
)
def test_callable_without_phases_is_called_and_has_none(pipeline: Any) -> None:
    """A user's own callable need not have such methods or callback, nor call them: it is called all the same."""
    drawn: list[str] = []
    calls = PhasedCalls(lambda **_: drawn.append("picture"), pipeline, "cpu")
    calls()
    assert (drawn, calls.times(1)) == (["picture"], [])


def test_pipeline_that_does_not_know_the_callback_is_not_given_it() -> None:
    """An argument that it does not take would end the call."""
    pipeline = WithoutCallback()
    PhasedCalls(pipeline, pipeline, "cpu")()


def test_method_of_an_instance_comes_back() -> None:
    """A method that was set on the instance before is there again, also after an error."""
    owner, calls = SimpleNamespace(), list[Any]()
    owner.method = method = calls.append
    with watched(owner, "method", before=calls.append, after=lambda: calls.append("end")):
        owner.method(1)
    assert owner.method is method
    assert calls == [1, 1, "end"]


def test_signature_stays_visible() -> None:
    """Diffusers asks methods for their parameters, and leaves out what they do not name."""
    owner = SimpleNamespace(step=lambda sample, generator=None: (sample, generator))
    with watched(owner, "step", after=list[Any]):
        assert list(inspect.signature(owner.step).parameters) == ["sample", "generator"]


def test_method_that_is_replaced_meanwhile_stays_replaced() -> None:
    """A callable that compiles its decoder in the first call keeps what it compiled."""
    owner = SimpleNamespace(decode=list[Any])
    with watched(owner, "decode", after=list[Any]):
        owner.decode = compiled = set[Any]
    assert owner.decode is compiled


def test_speedup_of_a_phase_is_that_of_the_medians() -> None:
    """Text encoding twice as slow, denoising twice as fast, decoding the same."""
    speeds = Speeds(
        baseline_phases=[times(1.0, [2.0, 2.0], 3.0), times(1.0, [2.0, 2.0], 3.0)],
        compiled_phases=[times(2.0, [1.0, 1.0], 3.0)],
    )
    assert speeds.phase_speedups == {"text encoding": 0.5, "denoising": 2.0, "decoding": 1.0}
    assert Speeds(baseline_phases=speeds.baseline_phases).phase_speedups == {}


def test_steps_a_second_leave_the_first_step_out() -> None:
    """Three steps, of which the first took ten times as long."""
    assert times(1.0, [10.0, 0.5, 0.5], 1.0).steps_per_s == 2.0
    assert times(1.0, [10.0], 1.0).steps_per_s is None


def test_regression_tells_its_phase(miniature_case: Case) -> None:
    """A pipeline that is too slow is told by phase; one that is fast enough is not."""
    phases = {"text encoding": 1.0, "denoising": 0.5, "decoding": 1.0}
    pairs = PairedLatencies([1.0 + i / 1000 for i in range(20)], [2.0] * 20, [None] * 20)
    red, green = (
        judge_speedup([pairs], miniature_case.sampling, Thresholds(min_speedup=floor), phases=phases)
        for floor in (0.9, 0.1)
    )
    assert (red.outcome, green.outcome) == (Outcome.REGRESSION, Outcome.PASS)
    assert "by phase text encoding 1x, denoising 0.5x, decoding 1x" in red.reason
    assert "by phase" not in green.reason


class CountingMeter:
    """A meter that an allocation raises by as much as it is told, until the next reset."""

    def __init__(self, kind: Kind = "allocated") -> None:
        self.kind, self.peak = kind, 0

    def allocate(self, size: int) -> None:
        """Use and give back memory."""
        self.peak = max(self.peak, size)

    def reset(self) -> None:
        """Start over."""
        self.peak = 0

    def read(self) -> Peak:
        """The peak since then."""
        return Peak(kind=self.kind, gated_bytes=self.peak)


PLANTED = {"text encoding": 300, "denoising": 200, "decoding": 100}


def planted(baseline: Any, meter: CountingMeter, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each phase of the pipeline allocate something of its own."""
    owners = {"text encoding": baseline, "denoising": baseline.transformer, "decoding": baseline.vae}
    methods = {"text encoding": "encode_prompt", "denoising": "forward", "decoding": "decode"}

    def allocating(original: Any, size: int) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            meter.allocate(size)
            return original(*arguments, **options)

        return call

    for phase, owner in owners.items():
        method = methods[phase]
        monkeypatch.setattr(owner, method, allocating(getattr(owner, method), PLANTED[phase]))


def test_peaks_are_those_of_their_phases(baseline: Any, tiny_case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each phase has the peak of what it allocates itself, although earlier ones are higher."""
    meter = CountingMeter()
    planted(baseline, meter, monkeypatch)
    assert phase_peaks(baseline, tiny_case.generation, batches(tiny_case.generation)[0], meter) == PLANTED


def test_peak_that_cannot_be_reset_is_no_phase(baseline: Any, tiny_case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system cannot reset a peak, or a callable has no such methods, no phase is told."""
    first = batches(tiny_case.generation)[0]
    meter = CountingMeter(SINCE_START)
    planted(baseline, meter, monkeypatch)
    assert phase_peaks(baseline, tiny_case.generation, first, meter) == {}
    for without_methods in (lambda **_: None, Slotted()):
        assert phase_peaks(without_methods, tiny_case.generation, first, CountingMeter()) == {}


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="the system cannot reset peaks")
def test_resident_memory_is_attributed_to_its_phase(
    baseline: Any, tiny_case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """256 MiB that only the decoder touches stand in the decoder's resident peak, not in the others'."""
    decode = baseline.vae.decode

    def large(*arguments: Any, **options: Any) -> Any:
        torch.ones(256 * MIB, dtype=torch.uint8)
        return decode(*arguments, **options)

    monkeypatch.setattr(baseline.vae, "decode", large)
    found = phase_peaks(baseline, tiny_case.generation, batches(tiny_case.generation)[0], ResidentPeak())
    assert found["decoding"] - max(found["text encoding"], found["denoising"]) > 200 * MIB
