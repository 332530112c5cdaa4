"""At which clock a device ran: tells a pipeline that needs more cycles from a device that gives fewer a second."""

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

from nearlossless.fields import Device

MHz = float
_CPUS = Path("/sys/devices/system/cpu")
SAME_CLOCK = 0.01  # relative difference of medians below which clocks are called the same


def clock_reader(device: Device, cpus: Path = _CPUS) -> Callable[[], MHz | None]:
    """
    What reads the clock of the GPU's multiprocessors by NVML, or the mean of a CPU's cores as Linux tells it.

    The function returns None where nothing can be read: in many virtual machines, for one.
    """
    if device == "cpu":
        return lambda: _cpu_mhz(cpus)
    from nearlossless.environment import gpu_handle, gpu_uuid

    handle = gpu_handle(gpu_uuid())
    if handle is None:
        return lambda: None
    import pynvml

    return lambda: gpu_mhz(pynvml, handle)


def gpu_mhz(nvml: object, handle: object) -> MHz | None:
    """The clock of a GPU's multiprocessors at this moment; None where NVML does not tell it."""
    try:
        return float(nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM))  # type: ignore[attr-defined]
    except nvml.NVMLError:  # type: ignore[attr-defined]
        return None


def _cpu_mhz(cpus: Path) -> MHz | None:
    found = []
    for path in cpus.glob("cpu[0-9]*/cpufreq/scaling_cur_freq"):
        try:
            found.append(int(path.read_text(encoding="ascii")) / 1000)
        except (OSError, ValueError):  # a core that was taken offline meanwhile
            continue
    return statistics.fmean(found) if found else None


def clock_note(now: Sequence[MHz | None], then: Sequence[MHz | None], slowdown: float) -> str:
    """
    Whether a slowdown is the pipeline's or the clock's; empty where either clock was not read.

    Args:
        now: Clock of each pair that is judged.
        then: The same of the accepted record.
        slowdown: Latency now over latency then.
    """
    known_now, known_then = [mhz for mhz in now if mhz], [mhz for mhz in then if mhz]
    if not known_now or not known_then:
        return ""
    mhz, former = statistics.median(known_now), statistics.median(known_then)
    if abs(mhz / former - 1) <= SAME_CLOCK:
        return f"at the same clock ({mhz:.0f} MHz)"
    kind = "lower" if mhz < former else "higher"
    return f"at a {kind} clock ({mhz:.0f} MHz, then {former:.0f}): {slowdown * mhz / former:.4g} times the cycles"
