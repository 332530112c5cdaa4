"""What disturbs a measurement, told by the hardware and the system: pairs that are set aside, with the reason."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from nearlossless.environment import gpu_handle, gpu_uuid
from nearlossless.fields import Device

# Share of all cores' time that a hypervisor, or other processes, may take from a pair. A steady load slows both sides
# alike; beyond this one, hardly anything is left to measure with.
LARGEST_STEAL, LARGEST_LOAD = 0.05, 0.9
LEAST_TICKS = 20  # the system counts in ticks of 10 ms: over fewer of them, shares say nothing
# Bits of NVML's clock event reasons. A software power cap (0x4) is the normal state of a loaded GPU.
SLOWDOWNS = {
    0x20: "thermal slowdown by software",
    0x40: "thermal slowdown by hardware",
    0x80: "power brake",
    0x08: "hardware slowdown",
}


class Watch(Protocol):
    """Looks at the machine before and after each pair."""

    def before(self) -> None:
        """A pair begins."""

    def after(self) -> str | None:
        """It has ended: why it is set aside, or None."""


class Unwatched:
    """Sets nothing aside."""

    def before(self) -> None:
        """Nothing to note."""

    def after(self) -> str | None:
        """Nothing is known."""
        return None


UNWATCHED: Watch = Unwatched()


def watch_of(device: Device, workers: Callable[[], Sequence[int]] = tuple, *, waiting: Sequence[int] = ()) -> Watch:
    """
    What watches this machine; nothing where neither NVML nor `/proc` can be read.

    Args:
        device: What is measured.
        workers: The processes that draw for this one at the moment: they disturb nothing.
        waiting: Processes that hold a context on the GPU and wait for this one: neither do they.
    """
    if device == "cpu":
        return CpuWatch(own_seconds=lambda: sum(os.times()[:4]) + sum(map(cpu_seconds, workers())))
    import pynvml

    handle = gpu_handle(gpu_uuid())
    if handle is None:
        return UNWATCHED
    return GpuWatch(pynvml, handle, processes=lambda: 1 + len(workers()) + len(waiting), waiting=waiting)


class GpuWatch:
    """
    Sets aside what a GPU drew while it was slowed down for heat or by hardware, or shared with another process.

    Args:
        nvml: The module `pynvml`, initialized.
        handle: Of the GPU, found by its UUID: NVML does not know CUDA_VISIBLE_DEVICES.
        processes: How many of ours may use the GPU.
        waiting: Those of them that neither are this process nor descend from it.
    """

    def __init__(
        self, nvml: Any, handle: Any, *, processes: Callable[[], int] = lambda: 1, waiting: Sequence[int] = ()
    ) -> None:
        self._nvml, self._handle, self._processes, self._waiting = nvml, handle, processes, waiting
        self._slowed = ""
        self._slowed_ns = 0

    def before(self) -> None:
        """Note how long the GPU has been slowed down so far."""
        self._slowed, self._slowed_ns = self._slowdown(), self._thermal_ns()

    def after(self) -> str | None:
        """A slowdown at either end or in between, or another process."""
        slowed = self._slowdown() or self._slowed
        if not slowed and self._thermal_ns() > self._slowed_ns:
            slowed = "thermal slowdown"
        return slowed or ("another process on the GPU" if self._is_shared() else None)

    def _slowdown(self) -> str:
        bits = self._asked("nvmlDeviceGetCurrentClocksThrottleReasons", 0)
        return next((name for bit, name in SLOWDOWNS.items() if bits & bit), "")

    def _thermal_ns(self) -> int:
        status = self._asked("nvmlDeviceGetViolationStatus", None, self._nvml.NVML_PERF_POLICY_THERMAL)
        return 0 if status is None else int(status.violationTime)

    def _is_shared(self) -> bool:
        running = {process.pid for process in self._asked("nvmlDeviceGetComputeRunningProcesses", [])}
        ours = {pid for pid in running if pid in self._waiting or is_ours(pid)}
        # In a container NVML tells the host's numbers, among which ours cannot be recognized.
        return len(running - ours) > (0 if ours else self._processes())

    def _asked(self, function: str, otherwise: Any, *arguments: Any) -> Any:
        try:
            return getattr(self._nvml, function)(self._handle, *arguments)
        except self._nvml.NVMLError:  # not every GPU answers every question
            return otherwise


def is_ours(pid: int, parent_of: Callable[[int], int | None] | None = None) -> bool:
    """Whether a process is this one, or descends from it."""
    parent_of, current = parent_of or _parent, pid
    while current > 1:
        if current == os.getpid():
            return True
        parent = parent_of(current)
        if parent is None:
            return False
        current = parent
    return False


def _parent(pid: int) -> int | None:
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return int(status.rpartition(")")[2].split()[1])


def cpu_seconds(pid: int) -> float:
    """CPU time of a process so far, and of its ended children; 0 where it is gone."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0.0
    return sum(map(int, status.rpartition(")")[2].split()[11:15])) / os.sysconf("SC_CLK_TCK")


class CpuWatch:
    """
    Sets aside what a CPU drew while a hypervisor took time from it, or other processes nearly all of its cores.

    Args:
        stat: The system's counters, as Linux tells them.
        own_seconds: CPU time of this process and its ended children so far.
    """

    def __init__(
        self,
        stat: Path = Path("/proc/stat"),
        own_seconds: Callable[[], float] = lambda: sum(os.times()[:4]),
    ) -> None:
        self._stat, self._own_seconds = stat, own_seconds
        self._ticks: list[int] | None = None
        self._own_s = 0.0

    def before(self) -> None:
        """Note the counters."""
        self._ticks, self._own_s = self._read(), self._own_seconds()

    def after(self) -> str | None:
        """Steal or load of others, as a share of all cores' time; nothing over a pair that was too short to tell."""
        before, after = self._ticks, self._read()
        if before is None or after is None:
            return None
        user, nice, system, idle, iowait, irq, softirq, steal = (b - a for a, b in zip(before, after, strict=True))
        busy = user + nice + system + irq + softirq
        total = busy + idle + iowait + steal
        if total < LEAST_TICKS:
            return None
        if steal > LARGEST_STEAL * total:
            return "the hypervisor took CPU time"
        own = (self._own_seconds() - self._own_s) * os.sysconf("SC_CLK_TCK")
        return "other processes loaded the CPU" if busy - own > LARGEST_LOAD * total else None

    def _read(self) -> list[int] | None:
        try:
            fields = self._stat.read_text(encoding="utf-8").splitlines()[0].split()
            ticks = [int(field) for field in fields[1:9]]
        except (OSError, ValueError, IndexError):
            return None
        return ticks if len(ticks) == 8 else None
