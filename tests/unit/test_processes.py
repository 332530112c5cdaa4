"""Workers for real: what they report, and how each way to fail is told. A start takes seconds."""

import contextlib
import io
import queue
from pathlib import Path
from typing import Any

import pytest

from nearlossless.backends import BackendError
from nearlossless.cases import Case
from nearlossless.processes import WorkerError, _follow, cache_environment, run_worker
from nearlossless.recipes import Recipe
from nearlossless.worker import STEADY_CALLS, Job

LIMIT_S = 120.0
BACKENDS = """
import os

def noisy(pipeline):
    print("this is no event")
    os.write(1, b"neither is this")
    raise RuntimeError("the kernel is missing")

def leaves(pipeline):
    os._exit(3)
"""


@pytest.fixture
def backends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module with bad backends."""
    (tmp_path / "bad_backends.py").write_text(BACKENDS, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    return "bad_backends"


def failure_of(job: Job, **options: Any) -> str:
    """What a worker that fails says."""
    with pytest.raises(WorkerError) as caught:
        run_worker(job, environment={}, **{"time_limit_s": LIMIT_S, **options})
    return str(caught.value)


@pytest.mark.slow
def test_worker_reports_phases_and_figures(quick_case: Case) -> None:
    """A baseline's process tells its phases in order and returns times and peaks, and no effect of a recipe."""
    phases: list[str] = []
    job = Job(case=quick_case, recipe=None, device="cpu")
    result = run_worker(job, environment={}, progress=phases.append, time_limit_s=LIMIT_S)
    assert phases == ["load", "first call", "steady calls"]
    assert len(result.steady_s) == STEADY_CALLS
    assert min([result.load_s, result.first_call_s, *result.steady_s]) > 0
    assert result.peaks.steady_bytes > 0
    assert result.effect is None


@pytest.mark.slow
def test_backend_that_raises_is_told(quick_case: Case, backends: str) -> None:
    """An error arrives as it was raised, and what the backend prints is not taken for an event."""
    job = Job(case=quick_case, recipe=Recipe(backend=f"{backends}:noisy"), device="cpu")
    with pytest.raises(BackendError, match="the kernel is missing"):
        run_worker(job, environment={}, time_limit_s=LIMIT_S)


@pytest.mark.slow
def test_backend_that_ends_the_process_is_told(quick_case: Case, backends: str) -> None:
    """A backend that ends its process is told with phase and exit code, and this process lives on."""
    message = failure_of(Job(case=quick_case, recipe=Recipe(backend=f"{backends}:leaves"), device="cpu"))
    assert "ended in phase 'load' with exit code 3" in message


def test_process_is_killed_at_its_limit(quick_case: Case) -> None:
    """A process that takes too long is killed, and the phase that it was in is named."""
    message = failure_of(Job(case=quick_case, recipe=None, device="cpu"), time_limit_s=0.05)
    assert message.startswith("still in phase 'start' at the time limit")


def test_line_that_is_no_event_ends_the_reading() -> None:
    """A line that was cut off when the process died does not leave the parent waiting for its limit."""
    events: queue.Queue[dict[str, Any] | None] = queue.Queue()
    with contextlib.suppress(ValueError):
        _follow(io.StringIO('{"phase": "load"}\n{"pha'), events)
    assert events.get_nowait() == {"phase": "load"}
    assert events.get_nowait() is None


def test_caches_lie_in_one_folder(tmp_path: Path) -> None:
    """All caches of a process lie in the folder that it is given, apart from each other."""
    folders = [Path(value) for value in cache_environment(tmp_path).values()]
    assert len(set(folders)) == 3
    assert {folder.parent for folder in folders} == {tmp_path}
