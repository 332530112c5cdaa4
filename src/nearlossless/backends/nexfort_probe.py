"""
Find out in a process of its own whether nexfort can do here what a recipe asks of it.

Without a licence some of nexfort's calls end the whole process, and a build for another torch may do so at its
import; what happens to `nexfort_trial` becomes an error that says what to install or set.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from nearlossless.backends import BackendError, BackendUnavailable
from nearlossless.backends.nexfort_trial import Task
from nearlossless.cases.recipes import NEXFORT, NEXFORT_SCHEME, Recipe
from nearlossless.environment import onediff_variables
from nearlossless.processes.environment import cache_environment, child_environment
from nearlossless.processes.streams import tail

TIME_LIMIT_S = 300.0
TRIED = {"NEARLOSSLESS_NEXFORT_TRIED": "1"}  # for workers: whoever started them has tried it

_COMMON = (
    "torch==2.4.0 triton==3.0.0 numpy==1.26.4 diffusers==0.35.2 transformers==4.57.6 huggingface-hub==0.36.2"
    " accelerate==1.15.0 onediff==1.2.1.dev48 onediffx==1.2.1.dev48"
)
INSTALL = f"in Python 3.11 on x86_64 Linux: pip install {_COMMON} nexfort==0.1.dev293"
INSTALL_TRANSFORM = f"{INSTALL.rpartition('=')[0]}=0.1.dev330"
_LICENCE = re.compile(r"licen[cs]e|key is empty|key (has )?expired", re.IGNORECASE)
_NO_LICENCE = {
    "transform": "transform's autotune cache is part of OneDiff Enterprise: set NEXFORT_ENABLE_TRITON_AUTOTUNE_CACHE=0"
    " (siliconflow/onediff#1165)",
    "quantize": "nexfort's quantized layers are part of OneDiff Enterprise: set SILICON_ONEDIFF_LICENSE_KEY",
}


def tasks_of(recipe: Recipe, device: str, dtype: str) -> list[Task]:
    """
    Everything of nexfort that a recipe uses.

    Raises:
        BackendError, BackendUnavailable: As `compile_task` and `quantize_task` do.
    """
    schemes = [scheme for scheme in recipe.quantization.values() if scheme.startswith(NEXFORT_SCHEME)]
    tasks = [quantize_task(scheme.removeprefix(NEXFORT_SCHEME), device, dtype) for scheme in dict.fromkeys(schemes)]
    if recipe.backend == NEXFORT:
        api, options = recipe.options.get("api", "compile"), recipe.options.get("options", {})
        tasks.append(compile_task(api, options, device))
    return tasks


def compile_task(api: str, options: dict[str, Any], device: str) -> Task:
    """
    The task for one of the backend's three ways.

    Raises:
        BackendError: There is no such way, or its options are no options.
        BackendUnavailable: It runs on CUDA only.
    """
    if api not in {"transform", "compile", "compile_pipe"}:
        raise BackendError(f"nexfort: api '{api}'; it is 'transform', 'compile' or 'compile_pipe'")
    if not isinstance(options, dict):
        raise BackendError(f"nexfort: options are a table such as {{mode = 'O2', dynamic = true}}, not {options!r}")
    if api == "transform" and options:
        raise BackendError("nexfort: transform takes no options")
    if api == "transform" and device != "cuda":
        raise BackendUnavailable("nexfort: transform runs on CUDA only; on a CPU use api = 'compile'")
    dtype = "bfloat16" if device == "cuda" else "float32"
    return Task.model_validate({"api": api, "options": options, "device": device, "dtype": dtype})


def quantize_task(quant_type: str, device: str, dtype: str) -> Task:
    """
    The task for a quantization scheme of nexfort.

    Raises:
        BackendError: nexfort does not quantize weights of this dtype.
    """
    if dtype not in {"bfloat16", "float16"}:
        raise BackendError(f"nexfort:{quant_type} quantizes bfloat16 and float16 only; the case's dtype is {dtype}")
    return Task(api="quantize", options={"quant_type": quant_type}, device=device, dtype=dtype)


def check(task: Task, *, time_limit_s: float = TIME_LIMIT_S) -> None:
    """
    Try a task in a process of its own, once for each environment.

    Raises:
        BackendError: The library rejects the options.
        BackendUnavailable: It is not installed, does not fit what is, ends its process, hangs, or has no GPU.
    """
    if TRIED.items() <= os.environ.items():
        return
    environment = (tuple(sorted(onediff_variables().items())), tuple(sys.path))
    error = _problem(task.model_dump_json(), environment, time_limit_s)
    if error is not None:
        raise type(error)(str(error))


@cache
def _problem(
    task_json: str, _environment: tuple[object, ...], time_limit_s: float
) -> BackendError | BackendUnavailable | None:
    task = Task.model_validate_json(task_json)
    events, exit_code, said = _try(task_json, time_limit_s)
    return _diagnosis(task, events, exit_code, said)


def _try(task_json: str, time_limit_s: float) -> tuple[dict[str, Any], int | None, str]:
    """What the process told, its exit code (None: it was killed at its limit), and the end of what it printed."""
    with (
        tempfile.TemporaryFile() as stdout,
        tempfile.TemporaryFile() as stderr,
        # Its kernels must not prime the caches of a start that is measured as cold.
        tempfile.TemporaryDirectory() as folder,
    ):
        process = subprocess.Popen(
            [sys.executable, "-m", "nearlossless.backends.nexfort_trial"],
            stdin=subprocess.PIPE,
            stdout=stdout,
            stderr=stderr,
            env=child_environment(cache_environment(Path(folder))),
            start_new_session=True,  # so that its own children can be ended with it
        )
        exit_code = None
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.communicate(task_json.encode(), timeout=time_limit_s)
                exit_code = process.returncode
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        stdout.seek(0)
        events: dict[str, Any] = {}
        for line in stdout.read().decode("utf-8", "replace").splitlines():
            events.update(json.loads(line))
        return events, exit_code, tail(stderr)


def _diagnosis(
    task: Task, events: dict[str, Any], exit_code: int | None, said: str
) -> BackendError | BackendUnavailable | None:
    if events.get("done") and exit_code == 0:
        return None
    if "refused" in events:
        return BackendError(f"nexfort: {task.api} refuses {json.dumps(task.options)}: {events['refused']}")
    step = events.get("step", "start")
    if "no_gpu" in events:
        reason = f"{task.api} on cuda: this machine has no CUDA GPU that torch can use"
    elif "failed" in events:
        reason = f"{step}: {_failure(task, events, said)}"
    elif exit_code is None:
        reason = f"{step}: still at it when its time limit ended\n{said}"
    else:
        reason = f"{step} ended its process with exit code {exit_code}{_licence_remedy(task, said)}\n{said}"
    return BackendUnavailable(f"nexfort: {reason}".rstrip())


def _failure(task: Task, events: dict[str, Any], said: str) -> str:
    failed, missing = events["failed"], events.get("module")
    install = INSTALL_TRANSFORM if task.api == "transform" else INSTALL
    if missing in {"nexfort", "onediff", "onediffx"}:
        return f"{missing} is not installed; {install}"
    if "nexfort.inductor.codegen" in failed + said:
        return (
            "this build lacks nexfort.inductor.codegen, as all from 0.1.dev299 on do, and cannot use Inductor's"
            f" modes; {INSTALL}"
        )
    return f"{failed}; the set that is known to work, {install}\n{said}"


def _licence_remedy(task: Task, said: str) -> str:
    if not _LICENCE.search(said):
        return ""
    return f" for want of a licence; {_NO_LICENCE.get(task.api, 'set SILICON_ONEDIFF_LICENSE_KEY')}"
