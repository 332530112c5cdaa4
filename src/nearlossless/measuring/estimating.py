"""The plan's estimate before anything is measured on a GPU: it warns, and decides nothing."""

from nearlossless.backends import BackendError, BackendUnavailable
from nearlossless.cases.case import CaseError
from nearlossless.gates import GIB
from nearlossless.memory.plan import plan
from nearlossless.progress import Progress
from nearlossless.runs.selection import Subject


def gpu_gib() -> float:
    """Memory of the current GPU."""
    import torch

    return torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory / GIB


def estimate_peaks(subject: Subject, progress: Progress) -> tuple[float, float] | None:
    """
    Estimated steady peaks of baseline and recipe in GiB, said with a warning where one exceeds the GPU's memory.

    Returns:
        None where nothing can be estimated, for want of configuration files, say.
    """
    try:
        baseline = plan(subject.case).peak_gib
        compiled = plan(subject.case, recipe=subject.recipe).peak_gib
    except (CaseError, BackendError, BackendUnavailable) as error:
        progress.say(f"memory: no estimate: {error}")
        return None
    text, memory_gib = f"memory: estimated peaks {baseline:.2f} GiB, under the recipe {compiled:.2f} GiB", gpu_gib()
    if max(baseline, compiled) > memory_gib:
        text = f"warning: {text}; this GPU has {memory_gib:.2f} GiB"
    progress.say(text)
    return baseline, compiled
