"""Which processes a subject is measured in, with which caches, artifacts and time limit."""

import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nearlossless.cases.case import Case
from nearlossless.cases.recipes import Recipe
from nearlossless.measuring import BaselineError, fresh_processes
from nearlossless.measuring.fresh_processes import measure_processes
from nearlossless.processes.job import Job, ProcessRun
from nearlossless.processes.parent import WorkerError
from nearlossless.progress import Progress
from nearlossless.runs.selection import Subject

MakeRun = Callable[..., ProcessRun]
MakeSubject = Callable[..., Subject]


class Started:
    """Stands where processes are started, and keeps what each was told."""

    def __init__(self, run: ProcessRun) -> None:
        self.run = run
        self.jobs: list[Job] = []
        self.caches: list[str] = []
        self.modes: list[int] = []

    def __call__(self, job: Job, *, environment: dict[str, str], **_: Any) -> ProcessRun:
        """Keep the job, its cache folder, and who may enter the folder of its artifacts."""
        self.jobs.append(job)
        self.caches.append(environment["TORCHINDUCTOR_CACHE_DIR"])
        file = job.save_artifacts or job.load_artifacts
        if file is not None:
            self.modes.append(stat.S_IMODE(file.parent.stat().st_mode))
        return self.run


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, process_run: MakeRun) -> Started:
    """No process is started."""
    found = Started(process_run())
    monkeypatch.setattr(fresh_processes, "run_worker", found)
    return found


def test_artifacts_pass_through_a_private_folder_only(
    started: Started, make_subject: MakeSubject, tiny_case: Case, silent: Progress, tmp_path: Path
) -> None:
    """What the cold process saves is loaded once, beside empty caches, and is gone afterwards."""
    subject = make_subject(tiny_case, Recipe(backend="inductor", artifacts=True))
    runs = measure_processes(subject, tmp_path, silent, {})
    _, cold, warm, artifact = started.jobs
    saved = cold.save_artifacts
    assert saved is not None
    assert (cold.load_artifacts, warm.save_artifacts, warm.load_artifacts) == (None, None, None)
    assert (artifact.save_artifacts, artifact.load_artifacts) == (None, saved)
    assert started.modes == [0o700, 0o700]
    assert not saved.is_relative_to(tmp_path)
    assert not saved.parent.exists()
    assert started.caches[1] == started.caches[2]
    assert len({started.caches[0], started.caches[1], started.caches[3]}) == 3
    assert runs.artifact is not None


def test_no_artifacts_unless_asked_for(
    started: Started, make_subject: MakeSubject, tiny_case: Case, silent: Progress, tmp_path: Path
) -> None:
    """A recipe that does not ask for them has a cold and a warm start, and saves nothing."""
    runs = measure_processes(make_subject(tiny_case, Recipe(backend="inductor")), tmp_path, silent, {})
    assert [job.save_artifacts for job in started.jobs] == [None, None, None]
    assert runs.artifact is None


@pytest.mark.parametrize(("not_applicable", "limit"), [({}, 32.0), ({"memory": "it is measured elsewhere"}, None)])
def test_cold_process_alone_looks_for_leaks(
    started: Started,
    make_subject: MakeSubject,
    tiny_case: Case,
    silent: Progress,
    tmp_path: Path,
    not_applicable: dict[Any, str],
    limit: float | None,
) -> None:
    """The cold process makes the calls that show leaks, against the threshold in force, if its gate applies."""
    recipe = Recipe(backend="inductor", not_applicable=not_applicable)
    measure_processes(make_subject(tiny_case, recipe), tmp_path, silent, {})
    assert [job.max_leak_kib for job in started.jobs] == [None, limit, None]


@pytest.mark.parametrize(("has_baseline", "error"), [(False, BaselineError), (True, WorkerError)])
def test_case_limits_how_long_a_start_may_take(
    make_subject: MakeSubject,
    tiny_case: Case,
    silent: Progress,
    process_run: MakeRun,
    tmp_path: Path,
    *,
    has_baseline: bool,
    error: type[Exception],
) -> None:
    """A process is killed at the case's limit; a baseline's is not blamed on the recipe."""
    limited = tiny_case.sampling.model_copy(update={"startup_limit_s": 0.05})
    subject = make_subject(tiny_case.model_copy(update={"sampling": limited}), Recipe(backend="inductor"))
    known: dict[tuple[str, str], ProcessRun | str] = {(tiny_case.name, "cpu"): process_run()} if has_baseline else {}
    with pytest.raises(error, match="still in phase 'start' at the time limit"):
        measure_processes(subject, tmp_path, silent, known)
