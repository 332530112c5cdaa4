"""Backends make pipelines faster. One file a backend; a user's own is `package.module:function`."""

import importlib
import os
import shutil
import sys
from collections.abc import Callable
from typing import Any

from nearlossless.cases.recipes import BUILT_IN_BACKENDS


class BackendError(Exception):
    """A backend that failed: it raised, returned no pipeline, or its pipeline does not draw."""


class BackendUnavailable(Exception):
    """A backend that cannot run on this machine; the message says what to install or set."""


def denoiser(pipeline: Any) -> str:
    """
    Name of the component that denoises: `transformer`, or `unet`.

    Raises:
        BackendError: The pipeline has neither.
    """
    for name in ("transformer", "unet"):
        if getattr(pipeline, name, None) is not None:
            return name
    raise BackendError("the pipeline has neither a 'transformer' nor a 'unet'; name the recipe's components")


def find_compiler() -> str:
    """
    The C++ compiler that Inductor will use for CPU kernels.

    Raises:
        BackendUnavailable: There is none.
    """
    # What Inductor itself looks for, in torch._inductor.config.cpp.cxx.
    candidate = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")
    if shutil.which(candidate):
        return candidate
    raise BackendUnavailable(
        f"inductor: no C++ compiler '{candidate}' found; install one (Debian and Ubuntu: apt-get install g++)"
        " or set CXX to its path"
    )


def check_triton() -> None:
    """
    Find out that Inductor's GPU kernels cannot be built before the first call does.

    Raises:
        BackendUnavailable: Triton is missing, or does not know this GPU.
    """
    from torch.utils._triton import has_triton

    if not has_triton():
        raise BackendUnavailable(
            "inductor: Triton is missing or does not support this GPU; install triton, and use a GPU of compute"
            " capability 7.0 or newer"
        )


def resolve(backend: str) -> Callable[..., Any]:
    """
    The function behind a backend's name: `function(pipeline, **options) -> pipeline`.

    Raises:
        BackendError: The module cannot be imported, or has no such function.
    """
    if backend in BUILT_IN_BACKENDS:
        built_in: Callable[..., Any] = importlib.import_module(f"nearlossless.backends.{backend}").apply
        return built_in
    module_name, _, function_name = backend.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise BackendError(
            f"{backend}: cannot import '{module_name}' ({error}); is its folder on PYTHONPATH?"
        ) from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a user's module may fail in any way, sys.exit included
        raise BackendError(f"{backend}: importing '{module_name}': {type(error).__name__}: {error}") from error
    function = getattr(module, function_name, None)
    if not callable(function):
        raise BackendError(f"{backend}: '{module_name}' has no function '{function_name}'")
    resolved: Callable[..., Any] = function
    return resolved
