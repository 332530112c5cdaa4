"""What the speedup gate measured: paired latencies and phases."""

import statistics
from collections.abc import Callable, Sequence
from typing import TypeVar

from pydantic import Field

from nearlossless.fields import Int64
from nearlossless.record.part import Part
from nearlossless.speed.latencies import PairedLatencies

T = TypeVar("T")
PHASES = ("text encoding", "denoising", "decoding")


class PhaseTimes(Part):
    """Seconds of one call. The first step is apart: what is prepared once falls into it."""

    text_encoding_s: float
    first_step_s: float
    later_steps: Int64
    later_steps_s: float  # of all of them
    decoding_s: float

    @property
    def seconds(self) -> dict[str, float]:
        """By phase; denoising is all steps."""
        denoising_s = self.first_step_s + self.later_steps_s
        return dict(zip(PHASES, (self.text_encoding_s, denoising_s, self.decoding_s), strict=True))

    @property
    def steps_per_s(self) -> float | None:
        """Denoising steps a second, from the second on; None where there is none."""
        return self.later_steps / self.later_steps_s if self.later_steps_s > 0 else None


def seconds_of(phase: str) -> Callable[[PhaseTimes], float]:
    """Picks the seconds of one phase from a call."""
    return lambda call: call.seconds[phase]


class Samples(Part):
    """
    Raw latencies of one process, pair by pair, each of one call.

    `set_aside` has of each pair why it is not judged, None where it is; `clock_mhz` the device's clock at its end. The
    phases are those of the same calls, in the same order; empty where a pipeline does not tell them. Older records have
    those of two calls of their own.
    """

    baseline_s: list[float] = Field(default_factory=list)
    compiled_s: list[float] = Field(default_factory=list)
    set_aside: list[str | None] = Field(default_factory=list)
    clock_mhz: list[float | None] = Field(default_factory=list)
    baseline_phases: list[PhaseTimes] = Field(default_factory=list)
    compiled_phases: list[PhaseTimes] = Field(default_factory=list)

    @property
    def pairs(self) -> PairedLatencies:
        """As the judges take them."""
        return PairedLatencies(self.baseline_s, self.compiled_s, self.set_aside, self.clock_mhz)

    def judged(self, values: Sequence[T]) -> list[T]:
        """Of what each pair has, that of those which are judged; all of it where it is not told pair by pair."""
        if len(values) != len(self.set_aside):
            return list(values)
        return [value for value, reason in zip(values, self.set_aside, strict=True) if reason is None]


class ReplicatedSamples(Samples):
    """The same of further processes beside it: autotuning may choose other kernels in each."""

    replicas: list[Samples] = Field(default_factory=list)

    @property
    def processes(self) -> list[Samples]:
        """Of each process."""
        return [self, *self.replicas]

    @property
    def runs(self) -> list[PairedLatencies]:
        """Of each process, as the judges take them."""
        return [process.pairs for process in self.processes]


class AcceptedSpeeds(ReplicatedSamples):
    """Raw latencies of the record last accepted on this machine, or why there are none to compare with."""

    problem: str | None = None
    started: str = ""


class Speeds(ReplicatedSamples):
    """`accepted` is what the pairs were held against."""

    accepted: AcceptedSpeeds | None = None

    @property
    def phase_speedups(self) -> dict[str, float]:
        """Of each phase the baseline's median seconds over the compiled one's; empty where one was not measured."""
        sides = (self.baseline_phases, self.compiled_phases)
        if not all(sides):
            return {}
        medians = [{name: statistics.median(each.seconds[name] for each in side) for name in PHASES} for side in sides]
        return {name: medians[0][name] / medians[1][name] for name in PHASES if medians[1][name] > 0}
