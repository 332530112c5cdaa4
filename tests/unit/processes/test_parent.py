"""Workers for real: what they report, and how each way to fail is told. A start takes seconds."""

import ast
import contextlib
import io
import os
import queue
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from nearlossless.backends import BackendError
from nearlossless.cases.case import Case, CaseError
from nearlossless.cases.recipes import Recipe
from nearlossless.cases.thresholds import Thresholds
from nearlossless.gates import GIB, judge_memory
from nearlossless.measuring.fresh_processes import measure_processes
from nearlossless.memory.peaks import is_out_of_memory
from nearlossless.processes.environment import cache_environment, child_environment
from nearlossless.processes.job import Job, ProcessRun
from nearlossless.processes.parent import WorkerError, _follow, run_worker
from nearlossless.processes.worker import STEADY_CALLS
from nearlossless.progress import Progress
from nearlossless.record.speed import PHASES
from nearlossless.runs.selection import Subject
from nearlossless.verdicts import Outcome

MakeSubject = Callable[..., Subject]

LIMIT_S = 120.0
BACKENDS = """
import os
import threading

def noisy(pipeline):
    print("this is no event")
    os.write(1, b"neither is this")
    raise RuntimeError("the kernel is missing")

def identity(pipeline):
    return pipeline

def leaves(pipeline):
    os._exit(3)

class Ends:
    def __init__(self, pipeline):
        self.pipeline = pipeline

    def __getattr__(self, name):
        return getattr(self.pipeline, name)

class Hangs(Ends):
    def __call__(self, *arguments, **options):
        print("autotuning kernel 7 of 9", flush=True)
        with open(os.environ["PLANTED_PIPE"], "w") as pipe:
            pipe.write("hanging")
        threading.Event().wait()

class Dies(Ends):
    def __call__(self, *arguments, **options):
        print("lowering graph 3", flush=True)
        os.abort()

class DiesLate(Ends):
    calls = 0

    def __call__(self, *arguments, **options):
        self.calls += 1
        if self.calls == 15:
            os.abort()
        return self.pipeline(*arguments, **options)

class RaisesLate(DiesLate):
    def __call__(self, *arguments, **options):
        if self.calls == 14:
            raise ValueError("planted: out of handles")
        return super().__call__(*arguments, **options)

def dies_late(pipeline):
    return DiesLate(pipeline)

def raises_late(pipeline):
    return RaisesLate(pipeline)

def hangs(pipeline):
    return Hangs(pipeline)

def dies(pipeline):
    return Dies(pipeline)
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
    assert all(result.peaks.steady_phase_bytes[name] > 0 for name in PHASES)
    assert result.effect is None


OUT_OF_MEMORY = """
import nearlossless.pipelines.compiling
import nearlossless.pipelines.loading
import torch

build = nearlossless.pipelines.loading.build_baseline


def build_and_fail(*arguments, **options):
    build(*arguments, **options)
    raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB")


# The worker's own baseline alone: recipes are built by another module's name for it.
nearlossless.pipelines.loading.build_baseline = build_and_fail
"""


@pytest.fixture
def _full_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every process started from now on runs out of memory while it builds a baseline."""
    (tmp_path / "sitecustomize.py").write_text(OUT_OF_MEMORY, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.slow
@pytest.mark.usefixtures("_full_gpu")
def test_baseline_out_of_memory_leaves_the_recipe_measured(
    quick_case: Case, backends: str, make_subject: MakeSubject, silent: Progress, tmp_path: Path
) -> None:
    """The memory gate shows OOM and judges by the absolute budget alone, on both of its sides, and once a case."""
    subject = make_subject(quick_case, Recipe(backend=f"{backends}:identity"))
    known: dict[tuple[str, str], ProcessRun | str] = {}
    runs = measure_processes(subject, tmp_path / "cache", silent, known)
    assert runs.baseline is None
    assert runs.baseline_out_of_memory == "load: CUDA out of memory. Tried to allocate 20 MiB"
    assert known == {(quick_case.name, "cpu"): runs.baseline_out_of_memory}
    assert subject.baseline_does_not_fit is None
    subject.baseline_ran_out_of_memory(runs.baseline_out_of_memory)
    reason, used_gib = subject.baseline_does_not_fit, runs.cold.peaks.steady_bytes / GIB
    outcomes = []
    for budget in (used_gib * 1.01, used_gib * 0.99, None):
        thresholds = Thresholds(max_memory_ratio=1.5, max_peak_gib=budget)
        verdict = judge_memory(runs.baseline, runs.cold, thresholds, baseline_does_not_fit=reason)
        assert "OOM" in verdict.checks[0].note
        outcomes.append(verdict.outcome)
    assert outcomes == [Outcome.PASS, Outcome.REGRESSION, Outcome.NOT_COMPARABLE]


@pytest.mark.parametrize("kind", [torch.cuda.OutOfMemoryError, RuntimeError])
def test_out_of_memory_is_seen_behind_other_errors(kind: type[RuntimeError]) -> None:
    """The cause counts however it was wrapped, and another error whose text speaks of memory does not."""

    def load() -> None:
        try:
            raise kind("CUDA out of memory")
        except RuntimeError as error:
            raise CaseError(f"while loading: {error}") from None

    with pytest.raises(CaseError) as caught:
        load()
    assert is_out_of_memory(caught.value) == (kind is torch.cuda.OutOfMemoryError)


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


@pytest.mark.slow
def test_compile_that_hangs_is_told_with_its_last_output(tiny_case: Case, backends: str, tmp_path: Path) -> None:
    """A first call that never ends is killed at the limit, and the message has what it printed last."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader, elapsed_s = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK), [0.0]

    def told(phase: str) -> None:
        if phase == "first call":
            assert select.select([reader], [], [], LIMIT_S)[0]  # it hangs by now
            elapsed_s[0] = LIMIT_S

    job = Job(case=tiny_case, recipe=Recipe(backend=f"{backends}:hangs"), device="cpu")
    with pytest.raises(WorkerError) as caught:
        run_worker(
            job,
            environment={"PLANTED_PIPE": str(pipe)},
            progress=told,
            time_limit_s=LIMIT_S,
            clock=lambda: elapsed_s[0],
        )
    os.close(reader)
    assert "still in phase 'first call' at the time limit (sampling.startup_limit_s)" in str(caught.value)
    assert "autotuning kernel 7 of 9" in str(caught.value)


@pytest.mark.slow
def test_compile_that_dies_is_told_with_its_last_output(tiny_case: Case, backends: str) -> None:
    """A first call that crashes its process is told with phase, signal and what it printed last."""
    message = failure_of(Job(case=tiny_case, recipe=Recipe(backend=f"{backends}:dies"), device="cpu"))
    assert f"ended in phase 'first call' with exit code -{int(signal.SIGABRT)}" in message
    assert "lowering graph 3" in message


@pytest.mark.slow
def test_death_among_the_calls_for_leaks_is_told(tiny_case: Case, backends: str) -> None:
    """A process that crashes after its steady calls is told with the phase that it was in."""
    job = Job(case=tiny_case, recipe=Recipe(backend=f"{backends}:dies_late"), device="cpu", max_leak_kib=32.0)
    assert "ended in phase 'calls for leaks' with exit code" in failure_of(job)


@pytest.mark.slow
def test_error_among_the_calls_for_leaks_leaves_the_rest_measured(tiny_case: Case, backends: str) -> None:
    """A pipeline that fails at its fifteenth call was started and timed all the same, and loses the memory gate."""
    job = Job(case=tiny_case, recipe=Recipe(backend=f"{backends}:raises_late"), device="cpu", max_leak_kib=32.0)
    found = run_worker(job, environment={}, time_limit_s=LIMIT_S)
    assert len(found.steady_s) == STEADY_CALLS
    assert found.residue_bytes is not None
    assert found.residue_bytes < 2**20  # the error keeps nothing alive
    verdict = judge_memory(found, found, Thresholds(max_memory_ratio=1.5))
    assert verdict.outcome is Outcome.REGRESSION
    assert "planted: out of handles" in verdict.reason


def test_thresholds_stricter_than_defaults_reach_the_process(tiny_case: Case) -> None:
    """A job is read as it was written, also where a recipe's own table leaves open what the case tightens."""
    recipe = Recipe(backend="inductor", thresholds=Thresholds(max_warm_start_ratio=0.9))
    changes = {"thresholds": Thresholds(max_residue_mib=1.0), "recipes": {"inductor": recipe}, "overrides": {}}
    job = Job(case=tiny_case.model_copy(update=changes), recipe=recipe, device="cpu")
    read = Job.model_validate_json(job.model_dump_json())
    assert read == job
    assert read.case.thresholds_for("inductor", "cpu", "cpu-avx2").max_residue_mib == 1.0


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
    """All caches of a process lie in the folder that it is given, apart from each other, and none is remote."""
    variables = cache_environment(tmp_path)
    remote = {name for name in variables if "REMOTE" in name}
    folders = [Path(value) for name, value in variables.items() if name not in remote]
    assert len(set(folders)) == len(folders) == 5
    assert {folder.parent for folder in folders} == {tmp_path}
    assert {variables[name] for name in remote} == {"0"}


def test_torch_takes_the_cache_variables(tmp_path: Path) -> None:
    """In a process with these variables, torch's own settings name the folder, and no remote cache is on."""
    script = """
import torch._dynamo.config, torch._functorch.config, torch._inductor.codecache, torch._inductor.config
from torch._inductor.codecache import cache_dir
settings = torch._inductor.config, torch._functorch.config, torch._dynamo.config
names = ["fx_graph_remote_cache", "autotune_remote_cache", "bundled_autotune_remote_cache",
         "enable_remote_autograd_cache", "automatic_dynamic_remote_pgo"]
print([getattr(each, name) for each in settings for name in names if hasattr(each, name)], cache_dir())
"""
    environment = child_environment(cache_environment(tmp_path))
    told = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    remote, _, folder = told.stdout.strip().rpartition(" ")
    assert set(ast.literal_eval(remote)) == {False}
    assert Path(folder) == tmp_path / "inductor"
