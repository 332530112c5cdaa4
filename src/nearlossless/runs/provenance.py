"""Where a run came from besides its fingerprint: the commit it was started in, and environment variables."""

import os
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

# Variables that libraries under the pipelines read. Nothing else of the environment is kept: it may hold secrets.
PREFIXES = ("CUBLAS_", "CUDA_", "CUDNN_", "MKL_", "NEXFORT_", "NVIDIA_TF32", "OMP_", "ONEDIFF_", "PYTORCH_", "TORCH")
_PLACES = ("_DIR", "_HOME", "_PATH", "_ROOT", "_FILE")  # another folder every time, and nothing that is drawn or timed
_TIME_LIMIT_S = 10


def commit(folder: Path) -> str | None:
    """
    The commit checked out in a folder, with `+changes` where tracked files differ from it.

    None where the folder is in no repository or git cannot be run.
    """
    git = shutil.which("git")
    if git is None:
        return None
    head = _said([git, "-C", str(folder), "rev-parse", "--short=12", "HEAD"])
    if head is None:
        return None
    changes = _said([git, "-C", str(folder), "status", "--porcelain", "--untracked-files=no"])
    return f"{head}+changes" if changes else head


def _said(command: list[str]) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_TIME_LIMIT_S)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def variables() -> dict[str, str]:
    """The environment variables that may change what is drawn or how fast, by name."""
    return {
        name: value
        for name, value in sorted(os.environ.items())
        if name.startswith(PREFIXES) and not name.endswith(_PLACES)
    }


def command(arguments: Sequence[str]) -> str:
    """
    The command line as one would type it, without the folder of the program.

    Args:
        arguments: As `sys.argv` has them; a package that was run by `python -m` stands there as its `__main__.py`.
    """
    program, *rest = arguments
    path = Path(program)
    return shlex.join([path.parent.name if path.name == "__main__.py" else path.name, *rest])
