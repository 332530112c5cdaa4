"""A slowdown that really happens: the device is kept busy for a share of a call, measured beforehand."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median

from nearlossless.fields import Device
from nearlossless.speed.timing import synchronizer, timed

CALLS = 5


@contextmanager
def slowed(call: Callable[[], object], share: float, device: Device) -> Iterator[Callable[[], object]]:
    """The call itself, or the call with `share` of its median seconds of work added behind it."""
    if not share:
        yield call
        return
    synchronize = synchronizer(device)
    seconds = share * median(timed(call, synchronize=synchronize) for _ in range(CALLS))
    linger = _on_gpu(seconds) if device == "cuda" else lambda: _on_cpu(seconds)

    def slower() -> None:
        call()
        linger()

    yield slower


def _on_cpu(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def _on_gpu(seconds: float) -> Callable[[], None]:
    """A kernel that counts clock cycles, as many as took `seconds` when they were tried."""
    import torch

    trial = 10_000_000
    spin = torch.cuda._sleep  # torch has no public kernel that only takes time
    spin(trial)
    trial_s = median(timed(lambda: spin(trial), synchronize=torch.cuda.synchronize) for _ in range(CALLS))
    cycles = int(trial * seconds / trial_s)
    return lambda: spin(cycles)
