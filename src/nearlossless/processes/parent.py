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
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import IO, Any, Self

from nearlossless.backends import BackendError, BackendUnavailable
from nearlossless.cases.case import CaseError
from nearlossless.measuring import BaselineError
from nearlossless.processes.environment import child_environment
from nearlossless.processes.job import Job, ProcessRun
from nearlossless.processes.streams import tail

_GRACE_S = 30.0  # between the end of a process's output and its own
# These say all there is to say; whatever else ends the worker comes with the end of what it printed.
_TOLD: dict[str, type[Exception]] = {
    kind.__name__: kind for kind in (BackendError, BackendUnavailable, BaselineError, CaseError)
}


class WorkerError(Exception):
    """The process failed, died or ran out of time; the message carries what it last said."""


class OutOfMemory(WorkerError):
    """The GPU's memory did not suffice beside what lies there already; `otherwise` is the error as it was raised."""

    def __init__(self, message: str, otherwise: Exception) -> None:
        super().__init__(message)
        self.otherwise = otherwise


class BaselineOutOfMemory(WorkerError):
    """The baseline's process ran out of the GPU's memory: a measured fact about the baseline, no failure."""


def _follow(stdout: IO[str], events: "queue.Queue[dict[str, Any] | None]") -> None:
    try:
        for line in stdout:
            events.put(json.loads(line))
    except ValueError:
        pass  # a line cut short: the process died while it wrote
    finally:
        events.put(None)


class WorkerProcess:
    """
    A process that is asked in lines and answers in the events that `worker.py` describes.

    It is to be closed, by `with` or by hand; should this process end before, it notices.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self.phase = "start"
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 (`close` closes it)
        self._process = subprocess.Popen(  # noqa: S603 (an interpreter with our own module)
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
            env=dict(environment),
            start_new_session=True,  # so that its own children can be ended with it
        )
        self._events: queue.Queue[dict[str, Any] | None] = queue.Queue()
        threading.Thread(target=_follow, args=(self._process.stdout, self._events), daemon=True).start()

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End it and whatever it started."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._stderr):
            with suppress(OSError):  # what it never read
                pipe.close()  # type: ignore[union-attr]

    def ask(self, line: str, *, time_limit_s: float, progress: Callable[[str], None] = lambda _phase: None) -> Any:
        """
        Send one line and wait for its result.

        Raises:
            BackendError, BackendUnavailable, BaselineError, CaseError: As they were raised in the process.
            OutOfMemory: The GPU's memory did not suffice.
            WorkerError: It failed in another way, ended by itself, or is still busy at the limit.
        """
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it is gone: the end of its output says so below
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()  # it stays open: its end tells the worker that this process is gone
        try:
            return self._answer(self._clock() + time_limit_s, progress)
        except OutOfMemory:
            raise
        except WorkerError as error:
            raise WorkerError(f"{error}\n{tail(self._stderr)}".strip()) from None

    def _answer(self, deadline: float, progress: Callable[[str], None]) -> Any:
        while True:
            try:
                event = self._events.get(timeout=max(0.0, deadline - self._clock()))
            except queue.Empty:
                raise WorkerError(
                    f"still in phase '{self.phase}' at the time limit (sampling.startup_limit_s)"
                ) from None
            if event is None:
                raise WorkerError(f"the process ended in phase '{self.phase}' {_exit_code(self._process)}")
            if "phase" in event:
                self.phase = event["phase"]
                progress(self.phase)
            elif "error" in event:
                raise _raised(event, self.phase)
            else:
                return event["result"]


def _raised(event: Mapping[str, Any], phase: str) -> Exception:
    """The exception that an event tells of."""
    error: Exception = WorkerError(f"in phase '{phase}': {event['kind']}: {event['error']}")
    if event["kind"] in _TOLD:
        error = _TOLD[event["kind"]](event["error"])
    return OutOfMemory(f"{phase}: {event['error'].splitlines()[0]}", error) if event["out_of_memory"] else error


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
    command = [sys.executable, "-m", "nearlossless.processes.worker"]
    with WorkerProcess(command, environment=child_environment(environment), clock=clock) as process:
        try:
            answer = process.ask(job.model_dump_json(), time_limit_s=time_limit_s, progress=progress)
        except OutOfMemory as error:
            raise (BaselineOutOfMemory(str(error)) if job.recipe is None else error.otherwise) from None
        return ProcessRun.model_validate(answer)


def _exit_code(process: "subprocess.Popen[str]") -> str:
    try:
        return f"with exit code {process.wait(timeout=_GRACE_S)}"
    except subprocess.TimeoutExpired:
        return "without another word, though it still runs"
