"""Peak memory by phase: allocated and reserved bytes on CUDA, resident bytes of the process on CPU."""

import resource
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Protocol

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RESET_PEAK = "5"  # proc(5): resets VmHWM to the current resident size


Kind = Literal["allocated", "resident", "resident since start"]
SINCE_START: Final = "resident since start"


@dataclass(frozen=True, slots=True, kw_only=True)
class Peak:
    """The highest point of one phase. `gated_bytes` is what budgets are held against."""

    kind: Kind
    gated_bytes: int
    reserved_bytes: int | None = None


class PeakMeter(Protocol):
    """Reports the peak since it was last reset."""

    def reset(self) -> None:
        """Start a new phase."""

    def read(self) -> Peak:
        """The peak of the phase so far."""


class CudaPeak:
    """What torch's allocator handed out on the current GPU; reserved bytes depend on the pool's history."""

    def reset(self) -> None:
        """Start a new phase."""
        import torch

        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()

    def read(self) -> Peak:
        """The peak of the phase so far."""
        import torch

        torch.cuda.synchronize()
        return Peak(
            kind="allocated",
            gated_bytes=torch.cuda.max_memory_allocated(),
            reserved_bytes=torch.cuda.max_memory_reserved(),
        )


class ResidentPeak:
    """Resident peak of this process. Where the system cannot reset it, the kind says that it is the peak so far."""

    def __init__(self) -> None:
        self._kind: Kind = "resident"

    def reset(self) -> None:
        """Start a new phase."""
        try:
            _CLEAR.write_text(_RESET_PEAK, encoding="ascii")
        except OSError:
            self._kind = SINCE_START

    def read(self) -> Peak:
        """The peak of the phase so far."""
        return Peak(kind=self._kind, gated_bytes=_resident_peak_bytes())


def _resident_peak_bytes() -> int:
    try:
        for line in _STATUS.read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def peak_meter(device: Literal["cpu", "cuda"]) -> PeakMeter:
    """The meter for a device."""
    return CudaPeak() if device == "cuda" else ResidentPeak()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a GPU's memory ran out somewhere behind an error, by the name that torch gives it in every version."""
    cause: BaseException | None = error
    while cause is not None:
        if "OutOfMemoryError" in {kind.__name__ for kind in type(cause).__mro__}:
            return True
        cause = cause.__cause__ or cause.__context__
    return False
