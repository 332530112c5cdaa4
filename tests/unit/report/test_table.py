"""The performance table: medians of what counts, and what is shown where nothing was measured."""

from collections.abc import Callable

import pytest
from tests.unit.conftest import phase_times
from tests.unit.report.rendering import plain_console

from nearlossless.memory.driver import BeyondTorch
from nearlossless.memory.leaks import Rounds
from nearlossless.processes.job import ProcessRun
from nearlossless.record import Record
from nearlossless.record.speed import Samples
from nearlossless.report.html import render_html
from nearlossless.report.markdown import render_markdown
from nearlossless.report.table import Row, performance_rows


@pytest.mark.parametrize(
    ("baseline", "compiled", "change"),
    [(2.0, 1.5, "-25.0%"), (1.0, 1.5, "+50.0%"), (None, 1.5, "-"), (1.0, None, "-"), (0.0, 1.5, "-")],
)
def test_change_is_of_the_baseline(baseline: float | None, compiled: float | None, change: str) -> None:
    """The change is in percent of the baseline, and nothing where one side is missing or zero."""
    assert Row(label="x", unit="s", baseline=baseline, compiled=compiled).cells()[3] == change


def test_table_takes_medians_and_sums(full_record: Record) -> None:
    """The end-to-end time is the median of the pairs, starts are load and first call."""
    rows = {row.label: row for row in performance_rows(full_record.subjects[0])}
    assert (rows["End-to-end time"].baseline, rows["End-to-end time"].compiled) == (1.05, 0.7)
    assert rows["Cold start"].compiled == 3.0
    assert rows["Peak memory"].baseline == 1000 / 1024**3


def test_table_takes_the_median_over_processes(full_record: Record) -> None:
    """Of several processes no single one's figures stand beside an interval over all of them."""
    speeds = full_record.subjects[0].speeds
    speeds.replicas = [
        Samples(
            baseline_s=[1.0] * 3,
            compiled_s=[seconds] * 3,
            baseline_phases=[phase_times()] * 3,
            compiled_phases=[phase_times(later_steps_s=seconds)] * 3,
        )
        for seconds in (0.9, 0.8)
    ]
    speeds.compiled_phases = [phase_times(later_steps_s=0.1)] * 3
    rows = {row.label: row for row in performance_rows(full_record.subjects[0])}
    assert (rows["End-to-end time"].baseline, rows["End-to-end time"].compiled) == (1.0, 0.8)
    assert rows["Iteration speed"].compiled == pytest.approx(27 / 0.8)  # of 270, 30 and 33.75


def test_table_leaves_out_what_was_set_aside(full_record: Record) -> None:
    """A pair that no verdict counts is in no figure of the table either."""
    speeds = full_record.subjects[0].speeds
    pairs = len(speeds.compiled_s)
    speeds.baseline_s, speeds.compiled_s = [1.0] * (pairs - 1) + [99.0], [0.5] * (pairs - 1) + [88.0]
    speeds.baseline_phases = [phase_times()] * (pairs - 1) + [phase_times(decoding_s=9.0)]
    speeds.set_aside = [None] * (pairs - 1) + ["throttled"]
    speeds.baseline_s[0] = speeds.compiled_s[0] = 2.0
    rows = {row.label: row for row in performance_rows(full_record.subjects[0])}
    assert (rows["End-to-end time"].baseline, rows["End-to-end time"].compiled) == (1.5, 1.25)
    assert rows["Decoding"].baseline == 0.2


def test_table_falls_back_to_the_processes(full_record: Record) -> None:
    """Without pairs the steady calls of the processes give the end-to-end time."""
    subject = full_record.subjects[0]
    subject.speeds = type(subject.speeds)()
    rows = {row.label: row for row in performance_rows(subject)}
    assert rows["End-to-end time"].baseline == 0.5


@pytest.mark.parametrize("render", [render_html, render_markdown, plain_console])
def test_baseline_that_does_not_fit_is_shown(full_record: Record, render: Callable[[Record], str]) -> None:
    """The baseline's column says why it is empty, where the case says that it does not fit."""
    subject = full_record.subjects[0]
    assert "does not fit" not in render(full_record)
    subject.baseline_does_not_fit, subject.baseline_process = "too large for this machine", None
    subject.speeds.baseline_s, subject.speeds.baseline_phases = [], []
    assert "does not fit" in render(full_record)


def test_baseline_out_of_memory_is_shown(full_record: Record) -> None:
    """A baseline that was tried and ran out of memory is OOM in every row, as in published tables."""
    subject = full_record.subjects[0]
    subject.baseline_out_of_memory, subject.baseline_process = "load: CUDA out of memory", None
    subject.speeds.baseline_s, subject.speeds.baseline_phases = [], []
    assert {row.cells()[1] for row in performance_rows(subject) if row.is_measured} == {"OOM"}


def test_peaks_by_phase_stand_below_the_peak(full_record: Record) -> None:
    """Each phase that was told has a row in GiB, and so has the estimate of a GPU gate."""
    subject = full_record.subjects[0]
    labels_before = {row.label for row in performance_rows(subject) if row.is_measured}
    assert subject.cold_process is not None
    subject.cold_process.peaks.steady_phase_bytes.update({"denoising": 1024**3, "decoding": 2 * 1024**3})
    subject.estimated_gib = (28.525, 21.072)
    rows = {row.label: row.cells() for row in performance_rows(subject) if row.is_measured}
    assert set(rows) - labels_before == {"Peak, denoising", "Peak, decoding", "Peak, estimated before"}
    assert rows["Peak, denoising"][2] == "1.000 GiB"
    assert rows["Peak, estimated before"][1:3] == ("28.525 GiB", "21.072 GiB")


def test_what_memory_keeps_stands_below_the_peaks(full_record: Record, process_run: Callable[..., ProcessRun]) -> None:
    """Leak, residue and memory beyond torch's have rows, each in its unit, and dashes where nothing was measured."""
    subject = full_record.subjects[0]
    rounds = Rounds(drawn=("64x64", "96x64"), tensor_bytes=[0] * 20, host_bytes=[n * 4096 for n in range(20)])
    beyond = BeyondTorch(bytes=2**29)
    subject.cold_process = process_run(rounds=rounds, residue_bytes=3 * 2**19, beyond_torch=beyond)
    rows = {row.label: row.cells() for row in performance_rows(subject) if row.is_measured}
    assert rows["Host memory, leak a call"][1:3] == ("-", "2.0 KiB")
    assert rows["Left after deletion"][2] == "1.500 MiB"
    assert rows["GPU memory beyond torch's"][2] == "0.500 GiB"
    subject.cold_process = process_run(rounds=None, residue_bytes=None)
    labels = {row.label for row in performance_rows(subject) if row.is_measured}
    assert {"Peak, load", "Peak, first call"} <= labels
    assert not labels & {"Host memory, leak a call", "Left after deletion", "GPU memory beyond torch's"}
