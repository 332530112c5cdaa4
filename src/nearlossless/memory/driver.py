"""Memory of the GPU that this process takes beyond what torch's allocator knows: CUDA's context, graphs, libraries."""

import os
from typing import Any

from pydantic import BaseModel, ConfigDict

from nearlossless.environment import gpu_handle, gpu_uuid
from nearlossless.fields import Device, Int64


class BeyondTorch(BaseModel):
    """Bytes of one process on its GPU less those that torch reserved; None, with the reason, where nobody can tell."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bytes: Int64 | None = None
    problem: str = ""


def beyond_torch(device: Device) -> BeyondTorch | None:
    """Of this process on the current GPU, by NVML; None on a CPU."""
    if device == "cpu":
        return None
    import pynvml
    import torch

    torch.cuda.synchronize()
    handle = gpu_handle(gpu_uuid())
    if handle is None:
        return BeyondTorch(problem="NVML cannot be asked")
    return of_process(pynvml, handle, pid=os.getpid(), reserved_bytes=torch.cuda.memory_reserved())


def of_process(nvml: Any, handle: Any, *, pid: int, reserved_bytes: int) -> BeyondTorch:
    """
    What NVML tells of a process that has a context on a GPU.

    In a container NVML tells the host's numbers, by which no process is recognized: one that is alone on the GPU is
    this one all the same, and of several none can be told.

    Args:
        nvml: The module `pynvml`, initialized.
        handle: Of the GPU.
        pid: The process's own number.
        reserved_bytes: What torch reserved for it on this GPU.
    """
    try:
        running = list(nvml.nvmlDeviceGetComputeRunningProcesses(handle))
    except nvml.NVMLError as error:
        return BeyondTorch(problem=f"NVML does not list the GPU's processes: {error}")
    own = [process for process in running if process.pid == pid] or (running if len(running) == 1 else [])
    if not own:
        return BeyondTorch(problem=f"this process is not among the {len(running)} that NVML lists")
    used = own[0].usedGpuMemory
    if used is None:
        return BeyondTorch(problem="NVML does not tell this process's memory")
    if used < reserved_bytes:
        return BeyondTorch(problem="NVML lists less than torch reserved: that is another process")
    return BeyondTorch(bytes=int(used) - reserved_bytes)
