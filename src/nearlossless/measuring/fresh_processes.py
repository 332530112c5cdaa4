"""Baseline, cold and warm start, and one from compile artifacts, each in a fresh process."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from nearlossless.backends import BackendError
from nearlossless.backends.nexfort_probe import TRIED, check, tasks_of
from nearlossless.cases.recipes import Recipe
from nearlossless.environment import environment_variables
from nearlossless.measuring import BaselineError
from nearlossless.processes.environment import cache_environment
from nearlossless.processes.job import Job, ProcessRun
from nearlossless.processes.parent import BaselineOutOfMemory, WorkerError, run_worker
from nearlossless.progress import Progress
from nearlossless.runs.selection import Subject


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessRuns:
    """The baseline, where it fits, and the compiled pipeline, each in fresh processes."""

    baseline: ProcessRun | None
    baseline_out_of_memory: str | None  # what it said when it ran out of the GPU's
    cold: ProcessRun
    warm: ProcessRun
    artifact: ProcessRun | None = None  # where the recipe asks for it


def measure_processes(
    subject: Subject, cache: Path, progress: Progress, baselines: dict[tuple[str, str], ProcessRun | str]
) -> ProcessRuns:
    """
    Run baseline, cold, warm and artifact processes one after the other; `cache` is empty before and primed after.

    `baselines` keeps the baseline's run of each case and device, which all its recipes share, or what it said when it
    ran out of memory. Where the case says that the baseline does not fit, it is not run.

    Raises:
        BaselineError: The baseline's process failed.
        WorkerError, BackendError, BackendUnavailable: A compiled process failed, or cannot run here.
    """

    def run(
        title: str, *, folder: Path, recipe: Recipe | None, variables: Mapping[str, str], **options: Any
    ) -> ProcessRun:
        job = Job(case=subject.case, recipe=recipe, device=subject.device, **options)
        with progress.phase(f"{title} process"):
            return run_worker(
                job,
                environment={**cache_environment(folder), **variables},
                progress=lambda phase: progress.say(f"{title} process: {phase}"),
                time_limit_s=subject.case.sampling.startup_limit_s,
            )

    recipe, key = subject.recipe, (subject.case.name, subject.device)
    with environment_variables(recipe.environment):
        for task in tasks_of(recipe, subject.device, subject.case.model.dtype[subject.device]):
            with progress.phase(f"nexfort: {task.api} tried on a tiny module"):
                check(task)
    try:
        if subject.baseline_does_not_fit is None and key not in baselines:
            baselines[key] = run("baseline", folder=cache / "baseline", recipe=None, variables={})
    except BaselineOutOfMemory as error:
        baselines[key] = str(error)
    except (WorkerError, BackendError) as error:
        raise BaselineError(f"the baseline's own process failed: {error}") from None
    compiled = partial(run, recipe=recipe, variables=recipe.environment | TRIED)
    # Loading artifacts runs code: they never leave a folder that is this user's alone, and that goes at once.
    with tempfile.TemporaryDirectory(prefix="nearlossless-") as private:
        saved = Path(private, "artifacts") if recipe.artifacts else None
        max_leak_kib = None if "memory" in recipe.not_applicable else subject.thresholds.max_leak_kib_per_call
        cold = compiled("cold", folder=cache, save_artifacts=saved, max_leak_kib=max_leak_kib)
        warm = compiled("warm", folder=cache)
        artifact = compiled("artifact", folder=Path(private, "caches"), load_artifacts=saved) if saved else None
    baseline = baselines.get(key)
    return ProcessRuns(
        baseline=baseline if isinstance(baseline, ProcessRun) else None,
        baseline_out_of_memory=baseline if isinstance(baseline, str) else None,
        cold=cold,
        warm=warm,
        artifact=artifact,
    )
