"""Peaks of this very process."""

import mmap
import os

import numpy as np
import pytest

from nearlossless.memory.peaks import CudaPeak, ResidentPeak, peak_meter

MIB = 1024**2
can_reset = pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="the system cannot reset peaks")


def touch(size_bytes: int) -> None:
    """Make pages resident and give them back to the system at once."""
    with mmap.mmap(-1, size_bytes) as pages:
        np.frombuffer(pages, dtype=np.uint8)[::4096] = 1  # in place: bytes to copy from would count, too


def test_cpu_is_metered_by_resident_bytes() -> None:
    """On the CPU the meter reports resident bytes and no reserved ones."""
    peak = peak_meter("cpu").read()
    assert (peak.kind, peak.reserved_bytes) == ("resident", None)
    assert peak.gated_bytes > MIB


def test_cuda_is_metered_by_the_allocator() -> None:
    """On CUDA the meter is that of torch's allocator."""
    assert isinstance(peak_meter("cuda"), CudaPeak)


@can_reset
def test_peak_holds_what_is_gone_already() -> None:
    """Memory that was used and given back within a phase counts in its peak."""
    meter = ResidentPeak()
    meter.reset()
    before = meter.read().gated_bytes
    touch(64 * MIB)
    assert meter.read().gated_bytes - before == pytest.approx(64 * MIB, abs=16 * MIB)


@can_reset
def test_reset_forgets_the_former_phase() -> None:
    """After a reset the peak of an earlier phase no longer counts."""
    meter = ResidentPeak()
    meter.reset()
    touch(96 * MIB)
    peak = meter.read().gated_bytes
    meter.reset()
    assert meter.read().gated_bytes < peak - 48 * MIB
