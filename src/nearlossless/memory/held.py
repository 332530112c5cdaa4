"""What this process holds right now: bytes in torch's tensors, and resident bytes of its own."""

import ctypes
import gc
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nearlossless.fields import Device

_ROLLUP = Path("/proc/self/smaps_rollup")
_OWN_PAGES = ("Anonymous:", "Swap:")


def host_bytes(rollup: Path = _ROLLUP) -> int | None:
    """
    Bytes of pages that this process wrote itself, after the C library has given back what it keeps for later.

    Pages of files, such as libraries and mapped weights, come and go as the system likes and are not counted.

    Returns:
        None where the system does not tell.
    """
    if (trim := _malloc_trim()) is not None:
        trim(0)
    try:
        lines = rollup.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    sizes = [int(line.split()[1]) for line in lines if line.startswith(_OWN_PAGES)]
    return sum(sizes) * 1024 if sizes else None


def _malloc_trim() -> Callable[[int], int] | None:
    return getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc alone has it


def tensor_bytes(device: Device) -> int:
    """
    Bytes in torch's tensors, once garbage is collected.

    On CUDA as they were asked of the allocator on the current GPU: a block that it did not split counts as what is
    used of it. On the CPU, where no torch keeps such a count, those of all tensors that Python knows and that
    `settled` does not hold apart; storages that several tensors share count once.
    """
    import torch

    gc.collect()
    if device == "cuda":
        torch.cuda.synchronize()
        stats = torch.cuda.memory_stats()
        return int(stats.get("requested_bytes.all.current", torch.cuda.memory_allocated()))
    return sum(dict(_storages(gc.get_objects())).values())


def _storages(things: Iterable[Any]) -> Iterator[tuple[int, int]]:
    """Address and bytes of each storage in the CPU's memory."""
    import torch

    for thing in things:
        if not issubclass(
            type(thing), torch.Tensor
        ):  # isinstance would ask proxies, which may load what they stand for
            continue
        try:
            storage = thing.untyped_storage()
            if storage.device.type == "cpu" and storage.data_ptr():
                yield storage.data_ptr(), storage.nbytes()
        except (RuntimeError, NotImplementedError):  # tensors of the compiler's that stand for none
            continue


@contextmanager
def settled() -> Iterator[None]:
    """Hold apart all that is there already, so that collecting and counting what comes anew is quick."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def residue_bytes(device: Device) -> int:
    """What is left in tensors once the last reference to a pipeline is gone and the compiler is reset."""
    import torch

    from nearlossless.pipelines.drawing import release

    release(device)
    if hasattr(torch._C, "_cuda_clearCublasWorkspaces"):  # cuBLAS keeps them for a stream's lifetime, whoever asked
        torch._C._cuda_clearCublasWorkspaces()
    return tensor_bytes(device)
