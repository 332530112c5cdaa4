"""At which clock a device ran, and what that says about a slowdown."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from nearlossless.cases.case import Sampling
from nearlossless.cases.thresholds import Thresholds
from nearlossless.record.speed import AcceptedSpeeds
from nearlossless.speed.clocks import clock_note, clock_reader, gpu_mhz
from nearlossless.speed.latencies import PairedLatencies
from nearlossless.speed.slowdown import judge_slowdown


class Unsupported(Exception):
    """NVML's error of a GPU that does not answer."""


def test_cpu_clock_is_the_mean_of_its_cores(tmp_path: Path) -> None:
    """Linux tells kHz of each core; one that cannot be read is left out."""
    for core, text in (("cpu0", "2000000"), ("cpu1", "3000000"), ("cpu2", "offline")):
        (tmp_path / core / "cpufreq").mkdir(parents=True)
        (tmp_path / core / "cpufreq" / "scaling_cur_freq").write_text(text, encoding="ascii")
    assert clock_reader("cpu", tmp_path)() == 2500


def test_unreadable_cpu_clock_is_none(tmp_path: Path) -> None:
    """In a virtual machine the clock is often not told."""
    assert clock_reader("cpu", tmp_path)() is None


@pytest.mark.parametrize("is_told", [True, False])
def test_gpu_clock_is_that_of_its_multiprocessors(is_told: bool) -> None:
    """NVML is asked for the SM clock, and its refusal is no figure."""

    def clock(handle: str, kind: str) -> int:
        assert (handle, kind) == ("GPU", "SM")
        if not is_told:
            raise Unsupported
        return 1980

    nvml = SimpleNamespace(nvmlDeviceGetClockInfo=clock, NVML_CLOCK_SM="SM", NVMLError=Unsupported)
    assert gpu_mhz(nvml, "GPU") == (1980.0 if is_told else None)


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ([1980.0, 1975.0], "at the same clock (1978 MHz)"),
        ([1485.0, None], "at a lower clock (1485 MHz, then 1980): 1 times the cycles"),
        ([2178.0], "at a higher clock (2178 MHz, then 1980): 1.467 times the cycles"),
        ([None], ""),
        ([], ""),
    ],
)
def test_slowdown_is_the_clocks_or_the_pipelines(now: Sequence[float | None], said: str) -> None:
    """A third longer at three quarters of the clock is the same work; at the same clock it is more."""
    assert clock_note(now, [1980.0, 1980.0], 4 / 3) == said


def test_check_against_the_record_tells_the_clock() -> None:
    """Pairs that were set aside tell no clock, and the others' stands in the note."""
    then = AcceptedSpeeds(baseline_s=[1.0, 1.01] * 6, compiled_s=[0.5, 0.505] * 6, clock_mhz=[1980.0] * 12)
    now = PairedLatencies([1.0, 1.01] * 6, [0.6, 0.606] * 6, ["hot", *[None] * 11], [900.0, *[1980.0] * 11])
    (check, _) = judge_slowdown(now, then, Thresholds(max_slowdown=0.0), Sampling())
    assert "at the same clock (1980 MHz)" in check.note
