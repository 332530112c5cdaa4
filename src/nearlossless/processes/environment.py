"""The environment that a process gets: what it imports, and where its caches lie."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

_CACHE_FOLDERS = {
    # Also the AOTAutograd cache, autotuning results, automatic dynamic shapes and nexfort's graph cache.
    "TORCHINDUCTOR_CACHE_DIR": "inductor",
    "TRITON_CACHE_DIR": "triton",  # also nexfort's autotune cache
    "CUDA_CACHE_PATH": "cuda",  # kernels that a library brings for other GPUs, translated by the driver
    "PYTORCH_KERNEL_CACHE_PATH": "kernels",  # of torch's own operations, built at their first call
    "TORCH_EXTENSIONS_DIR": "extensions",  # C++ and CUDA that a backend builds by torch.utils.cpp_extension
}
_REMOTE_CACHES = (
    "TORCHINDUCTOR_FX_GRAPH_REMOTE_CACHE",
    "TORCHINDUCTOR_AUTOGRAD_REMOTE_CACHE",
    "TORCHINDUCTOR_AUTOTUNE_REMOTE_CACHE",
    "TORCHINDUCTOR_BUNDLED_AUTOTUNE_REMOTE_CACHE",
    "TORCH_DYNAMO_AUTOMATIC_DYNAMIC_REMOTE_PGO",
)


def child_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """This process's environment for a child that imports what the parent can import, and what is added to it."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path), **extra}


def cache_folders() -> list[Path]:
    """The folders of `cache_environment` that are in force in this process."""
    return [Path(os.environ[name]) for name in _CACHE_FOLDERS if name in os.environ]


def cache_environment(folder: Path) -> dict[str, str]:
    """Environment that keeps in one folder whatever is cached between processes, and asks no other machine for it."""
    folders = {name: str(folder / value) for name, value in _CACHE_FOLDERS.items()}
    return folders | dict.fromkeys(_REMOTE_CACHES, "0")
