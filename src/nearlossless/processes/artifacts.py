"""
Compile artifacts in one file: what `torch.compiler` saves after a first call, for another process to start from.

Loading runs code that the file brings. It is therefore loaded only from where the same run has just written it, a
folder that nobody else can write to, and never from a report or a baselines folder.
"""

from pathlib import Path

from nearlossless.backends import BackendError, BackendUnavailable


def check_artifacts() -> None:
    """
    Find out before anything is compiled whether torch can save artifacts.

    Raises:
        BackendUnavailable: It cannot.
    """
    import torch

    if not all(hasattr(torch.compiler, name) for name in ("save_cache_artifacts", "load_cache_artifacts")):
        raise BackendUnavailable(
            f"artifacts: torch {torch.__version__} cannot save compile artifacts; install torch 2.7 or newer, or"
            " remove 'artifacts' from the recipe"
        )


def save_artifacts(path: Path) -> None:
    """
    Write what this process has compiled so far into a new file.

    Raises:
        BackendError: It compiled nothing that torch could save.
    """
    import torch

    saved = torch.compiler.save_cache_artifacts()
    if saved is None:
        raise BackendError("artifacts: the first call left no compile artifacts; are torch's caches switched off?")
    with path.open("xb") as file:
        file.write(saved[0])


def load_artifacts(path: Path) -> None:
    """
    Put what `save_artifacts` wrote into this process's caches.

    Raises:
        BackendError: torch does not take it.
    """
    import torch

    if torch.compiler.load_cache_artifacts(path.read_bytes()) is None:
        raise BackendError("artifacts: torch did not take the compile artifacts that the cold start saved")
