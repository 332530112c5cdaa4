"""What sets a pair aside: NVML and the system's counters, each at both sides of its limit."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nearlossless.speed.quiet import SLOWDOWNS, UNWATCHED, CpuWatch, GpuWatch, cpu_seconds, is_ours, watch_of


class FakeNvml:
    """NVML's answers, as the module gives them; the boundary behind which no GPU is."""

    class NVMLError(Exception):
        """Not supported."""

    NVML_PERF_POLICY_THERMAL = 1

    def __init__(self) -> None:
        self.reasons: list[int] = []
        self.slowed_ns: list[int] = []
        self.pids = [os.getpid()]

    def _next(self, answers: list[int]) -> int:
        return answers.pop(0) if answers else 0

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle: str) -> int:  # noqa: N802
        """Bits in force."""
        assert handle == "GPU"
        return self._next(self.reasons)

    def nvmlDeviceGetViolationStatus(self, handle: str, policy: int) -> Any:  # noqa: N802
        """Time spent slowed down so far."""
        assert (handle, policy) == ("GPU", 1)
        if not self.slowed_ns:
            raise self.NVMLError
        return SimpleNamespace(violationTime=self._next(self.slowed_ns))

    def nvmlDeviceGetComputeRunningProcesses(self, handle: str) -> list[Any]:  # noqa: N802
        """Processes on the GPU."""
        assert handle == "GPU"
        return [SimpleNamespace(pid=pid) for pid in self.pids]


def seen(nvml: FakeNvml) -> str | None:
    """What a pair is set aside for."""
    watch = GpuWatch(nvml, "GPU")
    watch.before()
    return watch.after()


@pytest.mark.parametrize("bit", SLOWDOWNS)
@pytest.mark.parametrize("when", [0, 1])
def test_slowdown_at_either_end_sets_a_pair_aside(bit: int, when: int) -> None:
    """Heat, a power brake and a hardware slowdown do, before or after the pair."""
    nvml = FakeNvml()
    nvml.reasons = [0, 0]
    nvml.reasons[when] = bit | 0x4
    assert seen(nvml) == SLOWDOWNS[bit]


@pytest.mark.parametrize("bits", [0x0, 0x1, 0x2, 0x4, 0x10, 0x100])
def test_normal_states_set_nothing_aside(bits: int) -> None:
    """Idle, application clocks, a software power cap, sync boost and display clocks are how a GPU works."""
    nvml = FakeNvml()
    nvml.reasons = [bits, bits]
    assert seen(nvml) is None


@pytest.mark.parametrize(("times", "reason"), [([5, 5], None), ([5, 6], "thermal slowdown")])
def test_slowdown_in_between_is_seen_by_its_counter(times: list[int], reason: str | None) -> None:
    """A slowdown that came and went within the pair moves NVML's counter of it."""
    nvml = FakeNvml()
    nvml.slowed_ns = times
    assert seen(nvml) == reason


@pytest.mark.parametrize(
    ("pids", "is_aside"),
    [([], False), ([os.getpid()], False), ([os.getpid(), 1], True), ([2**22 + 1], False), ([2**22 + 1, 1], True)],
    ids=["nobody", "we", "we and another", "one, in a container", "two, in a container"],
)
def test_another_process_sets_a_pair_aside(pids: list[int], *, is_aside: bool) -> None:
    """Beside this process none may run; where it is not recognized, one of those told is this one."""
    nvml = FakeNvml()
    nvml.pids = pids
    assert seen(nvml) == ("another process on the GPU" if is_aside else None)


@pytest.mark.parametrize(("strangers", "is_aside"), [(3, False), (4, True)])
def test_workers_are_no_strangers(strangers: int, *, is_aside: bool) -> None:
    """Where none of ours is recognized, as many processes as there are of ours set nothing aside, and one more does."""
    nvml = FakeNvml()
    nvml.pids = [2**22 + 1 + number for number in range(strangers)]
    watch = GpuWatch(nvml, "GPU", processes=lambda: 3)
    watch.before()
    assert (watch.after() is not None) == is_aside


@pytest.mark.parametrize(
    ("pids", "is_aside"),
    [
        ([os.getpid(), os.getppid()], False),
        ([os.getpid(), os.getppid(), 1], True),
        ([2**22 + 1, 2**22 + 2], False),
        ([2**22 + 1, 2**22 + 2, 2**22 + 3], True),
    ],
    ids=["it", "it and another", "it, in a container", "it and another, in a container"],
)
def test_process_that_waits_for_this_one_is_no_stranger(
    pids: list[int], is_aside: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session keeps its context on the GPU while further processes measure for it; nobody else may be there."""
    nvml = FakeNvml()
    nvml.pids = pids
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.setattr("nearlossless.speed.quiet.gpu_uuid", lambda: "GPU")
    monkeypatch.setattr("nearlossless.speed.quiet.gpu_handle", lambda _: "GPU")
    watch = watch_of("cuda", waiting=[os.getppid()])
    watch.before()
    assert watch.after() == ("another process on the GPU" if is_aside else None)


def test_cpu_time_of_a_worker_is_told() -> None:
    """A live child's CPU time is what the child itself counts, and that of a process that is gone is none."""
    code = "import time\nwhile time.process_time() < 0.3: pass\nprint(time.process_time(), flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        told = float(child.stdout.readline())
        assert cpu_seconds(child.pid) == pytest.approx(told, abs=0.05)
        child.communicate(b"\n")
    assert cpu_seconds(2**22 + 1) == 0.0


def test_child_is_ours_and_parent_is_not() -> None:
    """A worker that this process started is no co-tenant; the process that started this one is."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert is_ours(child.pid)
        child.communicate(b"\n")
    assert is_ours(os.getpid())
    assert not is_ours(os.getppid())
    assert not is_ours(2**22 + 1)


Counters = Callable[..., Path]


@pytest.fixture
def counters(tmp_path: Path) -> Counters:
    """Writes the system's counters, in ticks."""

    def write(*, user: int = 0, idle: int = 0, steal: int = 0) -> Path:
        path = tmp_path / "stat"
        path.write_text(f"cpu  {1000 + user} 0 500 {9000 + idle} 0 0 0 {steal} 0 0\ncpu0 1 2 3\n", encoding="utf-8")
        return path

    return write


def over(counters: Counters, own_s: float, **ticks: int) -> str | None:
    """What a pair is set aside for during which these ticks passed, of which this process used so many seconds."""
    used = iter([0.0, own_s])
    watch = CpuWatch(counters(), lambda: next(used))
    watch.before()
    counters(**ticks)
    return watch.after()


@pytest.mark.parametrize(("steal", "is_aside"), [(5, False), (6, True)])
def test_steal_sets_a_pair_aside(counters: Counters, steal: int, *, is_aside: bool) -> None:
    """A hypervisor may take a twentieth of the time, and no more."""
    reason = over(counters, 0.0, idle=100 - steal, steal=steal)
    assert reason == ("the hypervisor took CPU time" if is_aside else None)


@pytest.mark.parametrize(("own_ticks", "is_aside"), [(10, False), (9, True)])
def test_load_of_others_sets_a_pair_aside(counters: Counters, own_ticks: int, *, is_aside: bool) -> None:
    """What this process uses is not held against it; others may take nine tenths of all cores."""
    reason = over(counters, own_ticks / os.sysconf("SC_CLK_TCK"), user=100)
    assert reason == ("other processes loaded the CPU" if is_aside else None)


@pytest.mark.parametrize(("ticks", "is_aside"), [(19, False), (20, True)])
def test_short_pairs_tell_nothing(counters: Counters, ticks: int, *, is_aside: bool) -> None:
    """Over fewer than twenty ticks a share is chance."""
    assert (over(counters, 0.0, steal=ticks) is not None) is is_aside


@pytest.mark.parametrize("text", ["", "cpu 1 2\n", "cpu a b c d e f g h\n", None])
def test_unreadable_counters_set_nothing_aside(tmp_path: Path, text: str | None) -> None:
    """Where the system tells nothing, nothing is set aside."""
    path = tmp_path / "stat"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    watch = CpuWatch(path)
    watch.before()
    assert watch.after() is None


def test_this_systems_own_counters_are_read() -> None:
    """On Linux the counters of the machine have the form that is expected, and an instant sets nothing aside."""
    watch = CpuWatch()
    watch.before()
    assert watch.after() is None
    assert watch._read() is not None or not Path("/proc/stat").exists()


def test_unwatched_sets_nothing_aside() -> None:
    """Without a watch every pair counts."""
    UNWATCHED.before()
    assert UNWATCHED.after() is None
