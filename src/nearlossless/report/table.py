"""The performance table: the rows of OneDiff's published tables, for baseline and compiled pipeline."""

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from nearlossless.gates import GIB
from nearlossless.memory.leaks import host_slope_bytes
from nearlossless.processes.job import ProcessRun
from nearlossless.record.speed import PHASES, PhaseTimes, ReplicatedSamples, Samples, Speeds, seconds_of
from nearlossless.record.subject import SubjectRecord

KIB, MIB = 1024, 1024**2
_LARGE_CHANGE = 10.0  # beyond this, tenths of a percent say nothing
HEADINGS = ("", "baseline", "compiled", "change")
DOES_NOT_FIT, OUT_OF_MEMORY = "does not fit", "OOM"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One metric; None where it was not measured, with what is shown instead."""

    label: str
    unit: str
    baseline: float | None
    compiled: float | None
    digits: int = 2
    no_baseline: str = "-"
    no_compiled: str = "-"

    @property
    def is_measured(self) -> bool:
        """Whether either side has a figure."""
        return self.baseline is not None or self.compiled is not None

    def cells(self) -> tuple[str, str, str, str]:
        """Label, baseline, compiled, change in percent."""
        return (
            self.label,
            self._shown(self.baseline, self.no_baseline),
            self._shown(self.compiled, self.no_compiled),
            self._change(),
        )

    def _shown(self, value: float | None, missing: str) -> str:
        return missing if value is None else f"{value:.{self.digits}f} {self.unit}"

    def _change(self) -> str:
        if self.baseline is None or self.compiled is None or self.baseline <= 0:
            return "-"
        change = self.compiled / self.baseline - 1
        return f"{change:+.0%}" if change >= _LARGE_CHANGE else f"{change:+.1%}"


@dataclass(frozen=True, slots=True)
class Metric:
    """What a row tells: the same label, unit and digits for our own figures and for published ones."""

    label: str
    unit: str
    digits: int = 2

    def row(
        self, baseline: float | None, compiled: float | None, *, no_baseline: str = "-", no_compiled: str = "-"
    ) -> Row:
        """Its row for these figures."""
        return Row(
            label=self.label,
            unit=self.unit,
            baseline=baseline,
            compiled=compiled,
            digits=self.digits,
            no_baseline=no_baseline,
            no_compiled=no_compiled,
        )


ITERATION_SPEED = Metric("Iteration speed", "it/s")
END_TO_END = Metric("End-to-end time", "s", 3)
PEAK_MEMORY = Metric("Peak memory", "GiB", 3)
ESTIMATED_PEAK = Metric("Peak, estimated before", "GiB", 3)
FIRST_CALL = Metric("First call", "s")
WARM_FIRST_CALL = Metric("Warm first call", "s")
COLD_START = Metric("Cold start", "s")
WARM_START = Metric("Warm start", "s")
PHASE_METRICS = {name: Metric(name.capitalize(), "s", 3) for name in PHASES}
LOAD_PEAK = Metric("Peak, load", "GiB", 3)
FIRST_CALL_PEAK = Metric("Peak, first call", "GiB", 3)
BEYOND_TORCH = Metric("GPU memory beyond torch's", "GiB", 3)
LEAK = Metric("Host memory, leak a call", "KiB", 1)
RESIDUE = Metric("Left after deletion", "MiB", 3)
PEAK_METRICS = {name: Metric(f"Peak, {name}", "GiB", 3) for name in PHASES}


Figures = tuple[Metric, float | None, float | None]  # of baseline and compiled pipeline


def _median(samples: Sequence[float]) -> float | None:
    return statistics.median(samples) if samples else None


def _across(speeds: ReplicatedSamples, side: Callable[[Samples], Sequence[float]]) -> float | None:
    """Of each process the median over the pairs that are judged, and of those medians again the median."""
    medians = [median for each in speeds.processes if (median := _median(side(each))) is not None]
    return _median(medians)


def _end_to_end(speeds: Speeds, base: ProcessRun | None, cold: ProcessRun | None) -> Figures:
    baseline_s = _across(speeds, lambda each: each.judged(each.baseline_s))
    compiled_s = _across(speeds, lambda each: each.judged(each.compiled_s))
    steady = [_median(run.steady_s) if run else None for run in (base, cold)]
    return (
        END_TO_END,
        steady[0] if baseline_s is None else baseline_s,
        steady[1] if compiled_s is None else compiled_s,
    )


def _by_phase(metric: Metric, speeds: Speeds, figure: Callable[[PhaseTimes], float | None]) -> Figures:
    def told(calls: Sequence[PhaseTimes]) -> list[float]:
        return [value for call in calls if (value := figure(call)) is not None]

    baseline = _across(speeds, lambda each: told(each.judged(each.baseline_phases)))
    return metric, baseline, _across(speeds, lambda each: told(each.judged(each.compiled_phases)))


def _start_s(run: ProcessRun | None) -> float | None:
    return run.load_s + run.first_call_s if run else None


def _memory_figures(base: ProcessRun | None, cold: ProcessRun | None) -> list[Figures]:
    both = (base, cold)
    peaks = [run.peaks if run else None for run in both]

    def row(metric: Metric, sizes_bytes: Iterable[int | None], unit: int = GIB) -> Figures:
        baseline, compiled = (None if size is None else size / unit for size in sizes_bytes)
        return metric, baseline, compiled

    beyond = [run.beyond_torch.bytes if run and run.beyond_torch else None for run in both]
    slope = host_slope_bytes(cold.rounds) if cold and cold.rounds else None
    return [
        row(PEAK_MEMORY, [each.steady_bytes if each else None for each in peaks]),
        *(row(PEAK_METRICS[name], [p.steady_phase_bytes.get(name) if p else None for p in peaks]) for name in PHASES),
        row(LOAD_PEAK, [each.load_bytes if each else None for each in peaks]),
        row(FIRST_CALL_PEAK, [each.first_call_bytes if each else None for each in peaks]),
        row(BEYOND_TORCH, beyond),
        (LEAK, None, slope[0] / KIB if slope else None),
        row(RESIDUE, [None, cold.residue_bytes if cold else None], MIB),
    ]


def _no_baseline(subject: SubjectRecord) -> str:
    if subject.baseline_out_of_memory is not None:
        return OUT_OF_MEMORY
    return "-" if subject.baseline_does_not_fit is None else DOES_NOT_FIT


def performance_rows(subject: SubjectRecord) -> list[Row]:
    """
    Iteration speed, end-to-end time, peak memory, both also by phase, what memory keeps, and starts cold and warm.

    Times are of one call, which draws the case's `batch_size` of pictures; those of several processes are the median
    over the processes.
    """
    base, cold, warm, speeds = subject.baseline_process, subject.cold_process, subject.warm_process, subject.speeds
    base_first_s = base.first_call_s if base else None
    figures: list[Figures] = [
        _by_phase(ITERATION_SPEED, speeds, lambda call: call.steps_per_s),
        _end_to_end(speeds, base, cold),
        *(_by_phase(metric, speeds, seconds_of(name)) for name, metric in PHASE_METRICS.items()),
        *_memory_figures(base, cold),
        (ESTIMATED_PEAK, *(subject.estimated_gib or (None, None))),
        (FIRST_CALL, base_first_s, cold.first_call_s if cold else None),
        (WARM_FIRST_CALL, base_first_s, warm.first_call_s if warm else None),
        (COLD_START, _start_s(base), _start_s(cold)),
        (WARM_START, _start_s(base), _start_s(warm)),
    ]
    missing = _no_baseline(subject)
    return [metric.row(baseline, compiled, no_baseline=missing) for metric, baseline, compiled in figures]
