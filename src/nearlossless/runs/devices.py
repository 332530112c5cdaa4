"""What each worker of a run has to itself: a GPU, or a share of the CPU's cores."""

from collections.abc import Sequence


def installed_gpus() -> list[str]:
    """UUIDs of this machine's GPUs in NVML's order; none where there is no driver."""
    import pynvml

    try:
        pynvml.nvmlInit()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        return [str(pynvml.nvmlDeviceGetUUID(handle)) for handle in handles]
    except pynvml.NVMLError:
        return []


def gpu_names() -> set[str]:
    """Names of this machine's GPUs, as torch prints them too."""
    import pynvml

    try:
        pynvml.nvmlInit()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        return {str(pynvml.nvmlDeviceGetName(handle)) for handle in handles}
    except pynvml.NVMLError:
        return set()


def visible_gpus(variable: str | None, installed: Sequence[str]) -> list[str]:
    """
    The GPUs that a process sees, each as CUDA_VISIBLE_DEVICES names it.

    CUDA's own rules: an unset variable shows all, an unknown entry hides itself and what follows, and an entry that
    comes twice hides everything.

    Args:
        variable: The value of CUDA_VISIBLE_DEVICES; None where it is unset.
        installed: UUIDs of the machine's GPUs.
    """
    if variable is None:
        return list(installed)
    found: list[str] = []
    for entry in (part.strip() for part in variable.split(",")):
        if not _is_known(entry, installed):
            break
        if entry in found:
            return []
        found.append(entry)
    return found


def _is_known(entry: str, installed: Sequence[str]) -> bool:
    if entry.isdecimal():
        return int(entry) < len(installed)
    if entry.startswith("MIG-"):  # NVML lists whole GPUs, not their instances
        return bool(installed)
    return entry.startswith("GPU-") and any(uuid.startswith(entry) for uuid in installed)


def core_shares(cores: Sequence[int], count: int) -> list[tuple[int, ...]]:
    """
    Split cores into `count` shares of one size; what is left over stays idle, so that no share is a faster one.

    Raises:
        ValueError: There are fewer cores than shares, or no shares.
    """
    size = len(cores) // count if count > 0 else 0
    if size == 0:
        raise ValueError(f"{count} shares of {len(cores)} core(s): each needs at least one")
    ordered = sorted(cores)
    return [tuple(ordered[start * size : (start + 1) * size]) for start in range(count)]
