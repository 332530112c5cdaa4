"""The performance table: the rows of OneDiff's published tables, for baseline and compiled pipeline."""

import statistics
from dataclasses import dataclass

from nearlossless.gates import GIB
from nearlossless.leaks import host_slope_bytes
from nearlossless.record.speed import PHASES, PhaseTimes
from nearlossless.record.subject import SubjectRecord
from nearlossless.worker import ProcessRun

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


def _end_to_end_s(pairs_s: list[float], process: ProcessRun | None) -> float | None:
    return _median(pairs_s or (process.steady_s if process else []))


def _median(samples: list[float]) -> float | None:
    return statistics.median(samples) if samples else None


def _steps_per_s(calls: list[PhaseTimes]) -> float | None:
    return _median([each.steps_per_s for each in calls if each.steps_per_s is not None])


def _phase_s(calls: list[PhaseTimes], phase: str) -> float | None:
    return _median([each.seconds[phase] for each in calls])


def _start_s(run: ProcessRun | None) -> float | None:
    return run.load_s + run.first_call_s if run else None


def _phase_gib(run: ProcessRun | None, phase: str) -> float | None:
    return run.peaks.steady_phase_bytes[phase] / GIB if run and phase in run.peaks.steady_phase_bytes else None


def _first_call_gib(run: ProcessRun | None) -> float | None:
    return run.peaks.first_call_bytes / GIB if run else None


def _beyond_torch_gib(run: ProcessRun | None) -> float | None:
    if run is None or run.beyond_torch is None or run.beyond_torch.bytes is None:
        return None
    return run.beyond_torch.bytes / GIB


def _leak_kib(run: ProcessRun | None) -> float | None:
    slope = host_slope_bytes(run.rounds) if run is not None and run.rounds is not None else None
    return slope[0] / KIB if slope is not None else None


def _no_baseline(subject: SubjectRecord) -> str:
    if subject.baseline_out_of_memory is not None:
        return OUT_OF_MEMORY
    return "-" if subject.baseline_does_not_fit is None else DOES_NOT_FIT


def performance_rows(subject: SubjectRecord) -> list[Row]:
    """
    Iteration speed, end-to-end time, peak memory, both also by phase, what memory keeps, and starts cold and warm.

    Times are of one call, which draws the case's `batch_size` of pictures.
    """
    base, cold, warm, speeds = subject.baseline_process, subject.cold_process, subject.warm_process, subject.speeds
    base_first_s = base.first_call_s if base else None
    figures: list[tuple[Metric, float | None, float | None]] = [
        (ITERATION_SPEED, _steps_per_s(speeds.baseline_phases), _steps_per_s(speeds.compiled_phases)),
        (END_TO_END, _end_to_end_s(speeds.baseline_s, base), _end_to_end_s(speeds.compiled_s, cold)),
        (
            PEAK_MEMORY,
            base.peaks.steady_bytes / GIB if base else None,
            cold.peaks.steady_bytes / GIB if cold else None,
        ),
        *((PEAK_METRICS[name], _phase_gib(base, name), _phase_gib(cold, name)) for name in PHASES),
        (LOAD_PEAK, base.peaks.load_bytes / GIB if base else None, cold.peaks.load_bytes / GIB if cold else None),
        (FIRST_CALL_PEAK, _first_call_gib(base), _first_call_gib(cold)),
        (BEYOND_TORCH, _beyond_torch_gib(base), _beyond_torch_gib(cold)),
        (LEAK, None, _leak_kib(cold)),
        (RESIDUE, None, cold.residue_bytes / MIB if cold and cold.residue_bytes is not None else None),
        (ESTIMATED_PEAK, *(subject.estimated_gib or (None, None))),
        (FIRST_CALL, base_first_s, cold.first_call_s if cold else None),
        (WARM_FIRST_CALL, base_first_s, warm.first_call_s if warm else None),
        (COLD_START, _start_s(base), _start_s(cold)),
        (WARM_START, _start_s(base), _start_s(warm)),
    ]
    calls = speeds.baseline_phases, speeds.compiled_phases
    figures[2:2] = [(PHASE_METRICS[name], _phase_s(calls[0], name), _phase_s(calls[1], name)) for name in PHASES]
    missing = _no_baseline(subject)
    return [metric.row(baseline, compiled, no_baseline=missing) for metric, baseline, compiled in figures]
