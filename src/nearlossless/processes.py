"""The parent's side of `worker.py`: start it with its own caches, follow its phases, bound its time."""

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from nearlossless.backends import BackendError, BackendUnavailable
from nearlossless.cases import CaseError
from nearlossless.worker import Job, ProcessRun

_TAIL_LINES, _TAIL_BYTES = 15, 1 << 16
_GRACE_S = 30.0  # between the end of a process's output and its own
# These say all there is to say; whatever else ends the worker comes with the end of what it printed.
_TOLD: dict[str, type[Exception]] = {kind.__name__: kind for kind in (BackendError, BackendUnavailable, CaseError)}


class WorkerError(Exception):
    """The process failed, died or ran out of time; the message carries what it last said."""


class BaselineOutOfMemory(WorkerError):
    """The baseline's process ran out of the GPU's memory: a measured fact about the baseline, no failure."""


def child_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """This process's environment for a child that imports what the parent can import, and what is added to it."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path), **extra}


def tail(stderr: IO[bytes]) -> str:
    """The last lines of what a process printed."""
    size = stderr.seek(0, os.SEEK_END)
    stderr.seek(max(0, size - _TAIL_BYTES))
    lines = stderr.read().decode("utf-8", "replace").strip().splitlines()[-_TAIL_LINES:]
    return "\n".join(lines)


def _follow(stdout: IO[str], events: "queue.Queue[dict[str, Any] | None]") -> None:
    try:
        for line in stdout:
            events.put(json.loads(line))
    except ValueError:
        pass  # a line cut short: the process died while it wrote
    finally:
        events.put(None)


def run_worker(
    job: Job,
    *,
    environment: Mapping[str, str],
    progress: Callable[[str], None] = lambda _phase: None,
    time_limit_s: float,
    clock: Callable[[], float] = time.monotonic,
) -> ProcessRun:
    """
    Run a job in a fresh process.

    Args:
        job: Case, recipe and device.
        environment: Added to this process's own, for example its cache folders.
        progress: Told each phase as it begins.
        time_limit_s: After this the process is killed.
        clock: Seconds; monotonic.

    Raises:
        BackendError, BackendUnavailable, CaseError: As they were raised in the process.
        BaselineOutOfMemory: The job is a baseline and does not fit the GPU.
        WorkerError: It failed in another way, ended by itself, or was killed at the limit.
    """
    deadline = clock() + time_limit_s
    with tempfile.TemporaryFile() as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "nearlossless.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env=child_environment(environment),
            start_new_session=True,  # so that its own children can be ended with it
        )
        try:
            return _converse(process, job, progress, lambda: max(0.0, deadline - clock()))
        except BaselineOutOfMemory:
            raise
        except WorkerError as error:
            raise WorkerError(f"{error}\n{tail(stderr)}".strip()) from None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _converse(
    process: "subprocess.Popen[str]", job: Job, progress: Callable[[str], None], left_s: Callable[[], float]
) -> ProcessRun:
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(job.model_dump_json() + "\n")
        process.stdin.flush()  # it stays open: its end tells the worker that this process is gone
    except BrokenPipeError:
        pass  # it died at once: the end of its output says so below
    events: queue.Queue[dict[str, Any] | None] = queue.Queue()
    threading.Thread(target=_follow, args=(process.stdout, events), daemon=True).start()
    phase = "start"
    while True:
        try:
            event = events.get(timeout=left_s())
        except queue.Empty:
            raise WorkerError(f"still in phase '{phase}' at the time limit (sampling.startup_limit_s)") from None
        if event is None:
            raise WorkerError(f"the process ended in phase '{phase}' {_exit_code(process)}")
        if "phase" in event:
            phase = event["phase"]
            progress(phase)
        elif "error" in event:
            if event["out_of_memory"] and job.recipe is None:
                raise BaselineOutOfMemory(f"{phase}: {event['error'].splitlines()[0]}")
            if event["kind"] in _TOLD:
                raise _TOLD[event["kind"]](event["error"])
            raise WorkerError(f"in phase '{phase}': {event['kind']}: {event['error']}")
        else:
            return ProcessRun.model_validate(event["result"])


def _exit_code(process: "subprocess.Popen[str]") -> str:
    try:
        return f"with exit code {process.wait(timeout=_GRACE_S)}"
    except subprocess.TimeoutExpired:
        return "without another word, though it still runs"


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


def cache_environment(folder: Path) -> dict[str, str]:
    """Environment that keeps in one folder whatever is cached between processes, and asks no other machine for it."""
    folders = {name: str(folder / value) for name, value in _CACHE_FOLDERS.items()}
    return folders | dict.fromkeys(_REMOTE_CACHES, "0")
