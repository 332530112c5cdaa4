"""Latencies of two callables, pair by pair."""

import dataclasses
import math
from collections import Counter

from nearlossless.cases.case import Sampling
from nearlossless.verdicts import Check, Outcome, found

_TICK_S, _AGES_S = 1e-9, 1e9  # ratios of what lies between are numbers


@dataclasses.dataclass(slots=True)
class PairedLatencies:
    """
    Seconds of both callables, pair by pair, in the order taken.

    `set_aside` tells of each pair why it does not count, None where it does; empty where nobody watched. `clock_mhz`
    is the device's clock at each pair's end; empty, or None, where it was not read.
    """

    baseline_s: list[float] = dataclasses.field(default_factory=list)
    compiled_s: list[float] = dataclasses.field(default_factory=list)
    set_aside: list[str | None] = dataclasses.field(default_factory=list)
    clock_mhz: list[float | None] = dataclasses.field(default_factory=list)

    def judged(self) -> "PairedLatencies":
        """The pairs that count, or calls where there is no baseline."""
        if not any(self.set_aside):
            return PairedLatencies(self.baseline_s, self.compiled_s, clock_mhz=self.clock_mhz)

        def counted(seconds: list[float]) -> list[float]:
            return [s for s, reason in zip(seconds, self.set_aside, strict=False) if reason is None]

        clock_mhz = [mhz for mhz, reason in zip(self.clock_mhz, self.set_aside, strict=False) if reason is None]
        return PairedLatencies(counted(self.baseline_s), counted(self.compiled_s), clock_mhz=clock_mhz)

    def told(self) -> str:
        """How many were set aside, and why; empty where none was."""
        reasons = Counter(reason for reason in self.set_aside if reason is not None)
        if not reasons:
            return ""
        kinds = ", ".join(f"{reason} ({count})" for reason, count in reasons.most_common())
        return f"{reasons.total()} of {len(self.set_aside)} set aside: {kinds}"

    def problem(self, name: str, sampling: Sampling) -> Check | None:
        """The check that stands for these samples where they cannot be judged; None where they can."""
        if self.baseline_s and len(self.baseline_s) != len(self.compiled_s):
            note = f"{len(self.baseline_s)} latencies of the baseline, {len(self.compiled_s)} of the compiled pipeline"
            return found(name, Outcome.NOT_COMPARABLE, note)
        if self.set_aside and len(self.set_aside) != len(self.compiled_s):
            return found(name, Outcome.NOT_COMPARABLE, "the list of what was set aside belongs to other samples")
        unusable = [s for s in (*self.baseline_s, *self.compiled_s) if not is_latency(s)]
        if unusable:
            return found(name, Outcome.NOT_COMPARABLE, f"a latency of {unusable[0]} s is no measurement")
        count, lost = len(self.judged().compiled_s), sum(reason is not None for reason in self.set_aside)
        if lost > count or (lost and count < sampling.min_pairs):
            return found(name, Outcome.INCONCLUSIVE, self.told())
        if count < sampling.min_pairs:
            note = f"{count} samples, at least {sampling.min_pairs} needed"
            return found(name, Outcome.NOT_COMPARABLE, note)
        return None


def is_latency(seconds: float) -> bool:
    """Whether a clock can have measured this: one that stands still, goes backwards or leaps gives something else."""
    return _TICK_S <= seconds < _AGES_S


def log_ratios(pairs: PairedLatencies) -> list[float]:
    """log(baseline / compiled) of each pair; above 0 the compiled one is faster."""
    return [math.log(a / b) for a, b in zip(pairs.baseline_s, pairs.compiled_s, strict=True)]
