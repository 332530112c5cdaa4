"""The speedup's pairs in further processes, since autotuning may choose other kernels in each."""

import os
import sys
import tempfile
from pathlib import Path

from nearlossless.processes.environment import cache_environment, child_environment
from nearlossless.processes.parent import OutOfMemory, WorkerProcess
from nearlossless.progress import Progress
from nearlossless.record.speed import Samples
from nearlossless.runs.selection import Subject
from nearlossless.speed.pairing import PairingJob


def measure_replicas(subject: Subject, progress: Progress) -> list[Samples]:
    """
    All processes of a subject but the session's own, one after the other, each with empty caches.

    Raises:
        BackendError, BackendUnavailable, BaselineError, CaseError: As they were raised in one of them.
        WorkerError: One died, or took longer than a start and a measurement may.
    """
    job = PairingJob(
        case=subject.case,
        case_folder=subject.case_folder,
        recipe_name=subject.recipe_name,
        recipe=subject.recipe,
        device=subject.device,
        is_named=subject.is_named,
        baseline_does_not_fit=subject.baseline_does_not_fit if subject.declared_not_to_fit is None else None,
        waiting=(os.getpid(),) if _holds_a_context() else (),
    )
    count = subject.case.sampling.processes
    return [_measured(job, f"speedup: process {number} of {count}", progress) for number in range(2, count + 1)]


def _holds_a_context() -> bool:
    """Whether this process has used the GPU: of an earlier subject torch leaves a context there until its end."""
    return "torch" in sys.modules and sys.modules["torch"].cuda.is_initialized()


def _measured(job: PairingJob, title: str, progress: Progress) -> Samples:
    sampling, command = job.case.sampling, [sys.executable, "-m", "nearlossless.speed.pairing"]
    with progress.phase(title), tempfile.TemporaryDirectory(prefix="nearlossless-") as caches:
        environment = child_environment(cache_environment(Path(caches)) | job.recipe.environment)
        with WorkerProcess(command, environment=environment) as process:
            try:
                answer = process.ask(
                    job.model_dump_json(),
                    time_limit_s=sampling.startup_limit_s + sampling.budget_s,
                    progress=lambda phase: progress.begin(f"{title}: {phase}"),
                )
            except OutOfMemory as error:
                raise error.otherwise from None
    return Samples.model_validate(answer)
