"""The figures of a record that are followed over time."""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from nearlossless.gates import GIB
from nearlossless.record.subject import SubjectRecord
from nearlossless.speed.latencies import PairedLatencies, is_latency, log_ratios

_LARGEST = 1e12  # of any unit here; beyond, squares lose their meaning


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure: how it is called, shown, and read from a subject."""

    name: str  # on the command line
    unit: str
    digits: int
    is_time: bool  # times are comparable on one device only, the rest on all of one model
    is_positive: bool  # its changes are then relative ones
    resolution: float = 1e-4  # smaller changes are not worth a word: a share of the value if positive, else absolute
    compute: Callable[[SubjectRecord], float | None]

    def read(self, subject: SubjectRecord) -> float | None:
        """Its value; None where it was not measured, NaN where the samples allow none."""
        try:
            return self.compute(subject)
        except (ArithmeticError, ValueError):  # a record may hold any number
            return math.nan

    def is_usable(self, value: float) -> bool:
        """Whether a value is a measurement at all."""
        return abs(value) < _LARGEST and (value > 0 or not self.is_positive)

    def shown(self, value: float | None) -> str:
        """With its unit; `-` where it was not measured."""
        return "-" if value is None else f"{value:.{self.digits}f} {self.unit}".rstrip()

    def change(self, before: float, after: float) -> str:
        """The change between two usable values."""
        return f"{after / before - 1:+.2%}" if self.is_positive else f"{after - before:+.{self.digits}f}"


def _judged(pairs: PairedLatencies) -> PairedLatencies:
    """
    The latencies that were not set aside.

    Raises:
        ValueError: They cannot be told, or one of them is no measurement.
    """
    if pairs.set_aside and len(pairs.set_aside) != len(pairs.compiled_s):
        raise ValueError("the list of what was set aside belongs to other samples")
    judged = pairs.judged()
    if not all(map(is_latency, (*judged.baseline_s, *judged.compiled_s))):
        raise ValueError("a latency is no measurement")
    return judged


def _across(subject: SubjectRecord, samples: Callable[[PairedLatencies], Sequence[float]]) -> float | None:
    """Of each process the median, and of those again the median, as the verdict tells it."""
    of_each = [samples(_judged(pairs)) for pairs in subject.speeds.runs]
    medians = [statistics.median(found) for found in of_each if found]
    return statistics.median(medians) if medians else None


def _log_ratios(judged: PairedLatencies) -> Sequence[float]:
    return log_ratios(judged) if judged.baseline_s and judged.compiled_s else []  # refuses unequal numbers


def _speedup(subject: SubjectRecord) -> float | None:
    found = _across(subject, _log_ratios)
    return None if found is None else math.exp(found)


def _baseline_latency(subject: SubjectRecord) -> float | None:
    return _across(subject, lambda judged: judged.baseline_s)


def _compiled_latency(subject: SubjectRecord) -> float | None:
    return _across(subject, lambda judged: judged.compiled_s)


def _peak(subject: SubjectRecord) -> float | None:
    return subject.cold_process.peaks.steady_bytes / GIB if subject.cold_process else None


def _first_call(subject: SubjectRecord) -> float | None:
    return subject.cold_process.first_call_s if subject.cold_process else None


def _warm_first_call(subject: SubjectRecord) -> float | None:
    return subject.warm_process.first_call_s if subject.warm_process else None


def _worst_live(subject: SubjectRecord) -> float | None:
    return min((picture.live.worst_tile_ssim for picture in subject.pictures if picture.live), default=None)


def _worst_stored(subject: SubjectRecord) -> float | None:
    return min((picture.stored.worst_tile_ssim for picture in subject.pictures if picture.stored), default=None)


def _parity(subject: SubjectRecord) -> float | None:
    return max((step.ratio for step in subject.parity.steps if step.ratio is not None), default=None)


def _time(name: str, unit: str, digits: int, compute: Callable[[SubjectRecord], float | None]) -> Figure:
    return Figure(name=name, unit=unit, digits=digits, is_time=True, is_positive=True, compute=compute)


def _similarity(name: str, compute: Callable[[SubjectRecord], float | None]) -> Figure:
    return Figure(name=name, unit="", digits=5, is_time=False, is_positive=False, compute=compute, resolution=1e-5)


_ALL: Final = (
    _time("speedup", "x", 4, _speedup),
    _time("baseline-latency", "s", 4, _baseline_latency),
    _time("compiled-latency", "s", 4, _compiled_latency),
    _time("first-call", "s", 2, _first_call),
    _time("warm-first-call", "s", 2, _warm_first_call),
    Figure(name="peak-memory", unit="GiB", digits=3, is_time=False, is_positive=True, compute=_peak),
    _similarity("live-ssim", _worst_live),
    _similarity("stored-ssim", _worst_stored),
    Figure(name="step-parity", unit="", digits=3, is_time=False, is_positive=True, compute=_parity),
)
FIGURES: Final = {figure.name: figure for figure in _ALL}
