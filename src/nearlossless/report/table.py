"""The performance table: the rows of OneDiff's published tables, for baseline and compiled pipeline."""

import statistics
from dataclasses import dataclass

from nearlossless.gates import GIB
from nearlossless.record import SubjectRecord
from nearlossless.worker import ProcessRun

_LARGE_CHANGE = 10.0  # beyond this, tenths of a percent say nothing
HEADINGS = ("", "baseline", "compiled", "change")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One metric; None where it was not measured."""

    label: str
    unit: str
    baseline: float | None
    compiled: float | None
    digits: int = 2

    @property
    def is_measured(self) -> bool:
        """Whether either side has a figure."""
        return self.baseline is not None or self.compiled is not None

    def cells(self) -> tuple[str, str, str, str]:
        """Label, baseline, compiled, change in percent."""
        return (self.label, self._shown(self.baseline), self._shown(self.compiled), self._change())

    def _shown(self, value: float | None) -> str:
        return "-" if value is None else f"{value:.{self.digits}f} {self.unit}"

    def _change(self) -> str:
        if self.baseline is None or self.compiled is None or self.baseline <= 0:
            return "-"
        change = self.compiled / self.baseline - 1
        return f"{change:+.0%}" if change >= _LARGE_CHANGE else f"{change:+.1%}"


def _end_to_end_s(pairs_s: list[float], process: ProcessRun | None) -> float | None:
    samples = pairs_s or (process.steady_s if process else [])
    return statistics.median(samples) if samples else None


def performance_rows(subject: SubjectRecord) -> list[Row]:
    """Iteration speed, end-to-end time, peak memory, first call, cold and warm start; times are of one batch's call."""
    base, cold, warm, speeds = subject.baseline_process, subject.cold_process, subject.warm_process, subject.speeds
    batch = f", {subject.batch_size} pictures" if subject.batch_size > 1 else ""
    return [
        Row(
            label=f"Iteration speed{batch}",
            unit="it/s",
            baseline=speeds.baseline_steps_per_s,
            compiled=speeds.compiled_steps_per_s,
        ),
        Row(
            label=f"End-to-end time{batch}",
            unit="s",
            baseline=_end_to_end_s(speeds.baseline_s, base),
            compiled=_end_to_end_s(speeds.compiled_s, cold),
            digits=3,
        ),
        Row(
            label="Peak memory",
            unit="GiB",
            baseline=base.peaks.steady_bytes / GIB if base else None,
            compiled=cold.peaks.steady_bytes / GIB if cold else None,
            digits=3,
        ),
        Row(
            label=f"First call{batch}",
            unit="s",
            baseline=base.first_call_s if base else None,
            compiled=cold.first_call_s if cold else None,
        ),
        Row(
            label="Cold start",
            unit="s",
            baseline=base.load_s + base.first_call_s if base else None,
            compiled=cold.load_s + cold.first_call_s if cold else None,
        ),
        Row(
            label="Warm start",
            unit="s",
            baseline=base.load_s + base.first_call_s if base else None,
            compiled=warm.load_s + warm.first_call_s if warm else None,
        ),
    ]
