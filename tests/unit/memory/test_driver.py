"""What NVML tells of one process, without a GPU: its answers as the module gives them."""

from types import SimpleNamespace
from typing import Any

import pytest

from nearlossless.memory.driver import BeyondTorch, beyond_torch, of_process

MIB = 1024**2


class FakeNvml:
    """NVML's list of processes; the boundary behind which no GPU is."""

    class NVMLError(Exception):
        """Not supported."""

    def __init__(self, *processes: tuple[int, int | None], error: str | None = None) -> None:
        self._processes, self._error = processes, error

    def nvmlDeviceGetComputeRunningProcesses(self, handle: str) -> list[Any]:  # noqa: N802
        """Processes on the GPU with what they use."""
        assert handle == "GPU"
        if self._error is not None:
            raise self.NVMLError(self._error)
        return [SimpleNamespace(pid=pid, usedGpuMemory=used) for pid, used in self._processes]


def told(nvml: FakeNvml) -> BeyondTorch:
    """Of process 7, for which torch reserved 100 MiB."""
    return of_process(nvml, "GPU", pid=7, reserved_bytes=100 * MIB)


def test_cpu_has_none() -> None:
    """On a CPU there is no driver to ask."""
    assert beyond_torch("cpu") is None


@pytest.mark.parametrize(
    "processes",
    [[(7, 600 * MIB)], [(9, 900 * MIB), (7, 600 * MIB)], [(4242, 600 * MIB)]],
    ids=["alone", "beside another", "alone under the host's number"],
)
def test_memory_beyond_torch_is_the_rest(processes: list[tuple[int, int | None]]) -> None:
    """What a process uses less what torch reserved for it, wherever the process can be told."""
    assert told(FakeNvml(*processes)) == BeyondTorch(bytes=500 * MIB)


def test_nothing_beyond_torch_is_a_figure() -> None:
    """Exactly what torch reserved leaves zero bytes, and one byte less is another process's."""
    assert told(FakeNvml((7, 100 * MIB))).bytes == 0
    assert told(FakeNvml((7, 100 * MIB - 1))).bytes is None


@pytest.mark.parametrize(
    ("nvml", "said"),
    [
        (FakeNvml(), "not among the 0"),
        (FakeNvml((8, MIB), (9, MIB)), "not among the 2"),
        (FakeNvml((7, None)), "does not tell this process's memory"),
        (FakeNvml((7, 50 * MIB)), "that is another process"),
        (FakeNvml(error="Not Supported"), "does not list the GPU's processes: Not Supported"),
    ],
    ids=["no process", "a container beside others", "no figure", "less than reserved", "not supported"],
)
def test_what_cannot_be_told_says_why(nvml: FakeNvml, said: str) -> None:
    """There is no figure then, and the reason is there."""
    found = told(nvml)
    assert found.bytes is None
    assert said in found.problem
