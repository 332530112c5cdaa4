"""An evaluation with pipelines that are there already: the gate that runs from pytest."""

import shutil
from functools import partial
from pathlib import Path
from typing import Any

from nearlossless.cases.case import CaseError
from nearlossless.environment import Fingerprint
from nearlossless.evaluation.engines import LocalEngine, fixed_threads
from nearlossless.evaluation.evaluating import evaluate
from nearlossless.evaluation.pairs import drawer_of
from nearlossless.evaluation.preparing import Wanted, prepare
from nearlossless.evaluation.record import RECORD_FILE
from nearlossless.progress import Progress
from nearlossless.runs.selection import Subject
from nearlossless.verdicts import Verdict


def evaluate_session(
    subject: Subject,
    baseline: Any,
    compiled: Any,
    fingerprint: Fingerprint,
    progress: Progress,
    *,
    folder: Path,
    prompts: str | None,
    test: str,
) -> Verdict:
    """
    Evaluate a subject with the session's pipelines.

    A finished evaluation in the folder is one of a former session and is removed; one that was cut off is gone on with.

    Args:
        subject: What is judged.
        baseline: None where it does not fit.
        compiled: Beside it.
        fingerprint: Of this process.
        progress: Told how far it is.
        folder: For the results.
        prompts: A file, or None for the case's.
        test: That asks.

    Raises:
        CaseError: The subject cannot be evaluated, or prompts or folder cannot be used.
        BackendUnavailable: What writes results is not installed.
    """
    import torch

    reason = subject.no_pictures or subject.baseline_does_not_fit
    if reason is not None:
        raise CaseError(f"{subject.id} cannot be evaluated: {reason}")
    wanted = Wanted(subject=subject, folder=folder, prompts=prompts, threads=torch.get_num_threads())
    prepared = prepare(wanted)  # a mistake in what is wanted costs no results
    if (folder / RECORD_FILE).exists():
        shutil.rmtree(folder)
    build = partial(drawer_of, subject, baseline, compiled, fingerprint, wanted.feature_folder)
    engine = LocalEngine(build, settings=partial(fixed_threads, wanted.threads))
    return evaluate(prepared, engine, progress, test=test).verdict
