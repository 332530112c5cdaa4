"""Figures that are followed over time: read from raw samples, and refused where they are no measurement."""

import math

import pytest
from tests.scores import scores

from nearlossless.history.figures import FIGURES
from nearlossless.record import Record
from nearlossless.record.quality import PictureRecord, StepParity
from nearlossless.record.speed import Samples
from nearlossless.record.subject import SubjectRecord


@pytest.fixture
def measured(full_record: Record) -> SubjectRecord:
    """A subject with samples of every kind."""
    return full_record.subjects[0]


def read(name: str, measured: SubjectRecord) -> float | None:
    """The value of a figure."""
    return FIGURES[name].read(measured)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("speedup", 1.05 / 0.69),  # the median of three ratios
        ("baseline-latency", 1.05),
        ("compiled-latency", 0.7),
        ("first-call", 2.0),
        ("warm-first-call", 2.0),
        ("peak-memory", 1000 / 1024**3),
        ("live-ssim", 0.8),
        ("step-parity", 12500.0),
        ("stored-ssim", None),
    ],
)
def test_figure_is_what_was_measured(measured: SubjectRecord, name: str, value: float | None) -> None:
    """Each figure is the one that its raw samples give."""
    assert read(name, measured) == (None if value is None else pytest.approx(value))


def test_processes_count_alike(measured: SubjectRecord) -> None:
    """With several processes a latency is the median of their medians, as the verdict tells it, not the first one's."""
    measured.speeds.replicas = [Samples(baseline_s=[1.0] * 3, compiled_s=[seconds] * 3) for seconds in (0.9, 0.8)]
    assert read("compiled-latency", measured) == pytest.approx(0.8)
    assert read("speedup", measured) == pytest.approx(1 / 0.8)


def test_worst_of_all_counts(measured: SubjectRecord) -> None:
    """Of several pictures the least similar one is followed, and of several steps the one furthest off."""
    measured.pictures.append(PictureRecord(prompt="p", seed=1, height=8, width=8, live=scores(0.3), stored=scores(0.4)))
    measured.parity.steps.append(StepParity(step=3, ratio=2.0))
    values = [read(name, measured) for name in ("live-ssim", "stored-ssim", "step-parity")]
    assert values == [0.3, 0.4, 12500.0]


@pytest.mark.parametrize("name", list(FIGURES))
def test_nothing_measured_is_no_figure(measured: SubjectRecord, name: str) -> None:
    """A subject that was never measured has none of the figures."""
    bare = SubjectRecord(case="c", recipe="r", backend="b", device="cpu", thresholds=measured.thresholds)
    assert read(name, bare) is None


def test_without_a_baseline_there_is_a_latency_and_no_speedup(measured: SubjectRecord) -> None:
    """Where no baseline fits, the compiled latency is followed alone."""
    measured.speeds.baseline_s = []
    assert (read("speedup", measured), read("compiled-latency", measured)) == (None, 0.7)


@pytest.mark.parametrize("sample", [0.0, -1.0, math.nan, math.inf])
@pytest.mark.parametrize("name", ["speedup", "compiled-latency"])
def test_sample_that_is_no_measurement_spoils_the_figure(measured: SubjectRecord, name: str, sample: float) -> None:
    """One impossible latency makes the run's figure unusable instead of moving its median."""
    measured.speeds.compiled_s[1] = sample
    value = read(name, measured)
    assert value is not None
    assert not FIGURES[name].is_usable(value)


def test_what_the_gate_set_aside_counts_not(measured: SubjectRecord) -> None:
    """A disturbed pair moves no figure, even where its latency is far off."""
    measured.speeds.baseline_s, measured.speeds.compiled_s = [1.0, 9.0, 1.0, 1.0], [0.5, 9.0, 0.5, 9.0]
    measured.speeds.set_aside = [None, "throttled", None, "throttled"]
    values = [read(name, measured) for name in ("speedup", "baseline-latency", "compiled-latency")]
    assert values == pytest.approx([2.0, 1.0, 0.5])


def test_everything_set_aside_is_no_figure(measured: SubjectRecord) -> None:
    """A run without an undisturbed pair has no speedup."""
    measured.speeds.set_aside = ["throttled"] * 3
    assert (read("speedup", measured), read("compiled-latency", measured)) == (None, None)


def test_list_of_other_samples_gives_no_figure(measured: SubjectRecord) -> None:
    """Where it cannot be told which pairs were set aside, none is taken."""
    measured.speeds.set_aside = [None]
    assert math.isnan(read("speedup", measured) or 0)


def test_numbers_beyond_arithmetic_are_no_figure(measured: SubjectRecord) -> None:
    """A ratio that is zero in floating point, and a peak of more bytes than a float holds, stop nothing."""
    measured.speeds.baseline_s, measured.speeds.compiled_s = [1e-300], [1e300]
    assert measured.cold_process is not None
    peaks = measured.cold_process.peaks.model_copy(update={"steady_bytes": 10**400})
    measured.cold_process = measured.cold_process.model_copy(update={"peaks": peaks})
    assert [math.isnan(read(name, measured) or 0) for name in ("speedup", "peak-memory")] == [True, True]


def test_pairs_that_are_not_pairs_give_no_speedup(measured: SubjectRecord) -> None:
    """With unequal numbers of samples nothing is a pair."""
    measured.speeds.compiled_s.append(0.7)
    assert math.isnan(read("speedup", measured) or 0)


@pytest.mark.parametrize(("name", "value", "is_usable"), [("peak-memory", 0.0, False), ("live-ssim", 0.0, True)])
def test_zero_is_a_similarity_and_no_peak(name: str, value: float, is_usable: bool) -> None:
    """What must be positive is unusable at zero; a similarity may be zero."""
    assert FIGURES[name].is_usable(value) is is_usable


@pytest.mark.parametrize(("name", "change"), [("compiled-latency", "+50.00%"), ("live-ssim", "+0.25000")])
def test_changes_are_told_in_the_figures_own_way(name: str, change: str) -> None:
    """Changes of seconds are relative, those of similarities are differences."""
    assert FIGURES[name].change(0.5, 0.75) == change
