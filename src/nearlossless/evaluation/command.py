"""What `nearlossless evaluate` does with its options."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

from nearlossless.cases.case import Case, CaseError
from nearlossless.cases.files import find_case
from nearlossless.evaluation.engines import Engine, LocalEngine, fixed_threads
from nearlossless.evaluation.evaluating import evaluate
from nearlossless.evaluation.pairs import build_drawer, one_picture_a_call
from nearlossless.evaluation.preparing import Wanted, prepare
from nearlossless.evaluation.record import EvaluationRecord
from nearlossless.evaluation.remote import WorkerJob
from nearlossless.fields import Device
from nearlossless.generate import choose_device
from nearlossless.progress import Progress
from nearlossless.runs.selection import Subject, select_subjects

EngineName = Literal["local", "ray"]
DEFAULT_FOLDER = "nearlossless-evaluation"
_RAY_THREADS: dict[Device, int] = {"cpu": 1, "cuda": 4}  # on cuda they read the pictures with CLIP


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The command line's. None takes the case's or a default."""

    case: str
    recipe: str
    baselines: Path
    prompts: str | None = None
    results: Path | None = None
    device: str | None = None
    engine: EngineName = "local"
    address: str | None = None
    workers: int | None = None
    threads: int | None = None
    reference: Path | None = None
    features: str | None = None
    stop_early: bool = False


def run(options: Options, progress: Progress) -> tuple[EvaluationRecord, Path]:
    """
    Evaluate as the command line says.

    Returns:
        The record, and the results folder with `report.html`.

    Raises:
        CaseError: Something of it does not exist or does not fit.
        BackendError, BackendUnavailable, BaselineError, BaselineChanged: As `evaluate`.
    """
    _check(options)
    subject = _subject(options)
    prepared = prepare(
        Wanted(
            subject=subject,
            folder=options.results or Path(DEFAULT_FOLDER) / subject.id,
            prompts=options.prompts,
            reference=options.reference,
            features=options.features,
            threads=_threads(options, subject.device),
            stop_early=options.stop_early,
        )
    )
    evaluated = evaluate(prepared, _engine(options, prepared.wanted, progress), progress)
    return evaluated.record, prepared.wanted.folder


def _check(options: Options) -> None:
    if options.engine == "local" and (options.address is not None or options.workers is not None):
        raise CaseError("--address and --workers are for --engine ray; the local engine draws in this process")


def _subject(options: Options) -> Subject:
    """The selected recipe, drawing one picture a call."""
    case = find_case(options.baselines, options.case)
    device = _device(options, case)
    for subject in select_subjects(options.baselines, cases=[options.case], recipes=[options.recipe]):
        if subject.device == device:
            if subject.no_pictures is not None:
                raise CaseError(f"{subject.id} cannot be evaluated: {subject.no_pictures}")
            return replace(subject, case=one_picture_a_call(subject.case))
    raise CaseError(f"recipe '{options.recipe}' of case '{options.case}' does not run on {device}")


def _device(options: Options, case: Case) -> Device:
    """The GPUs of a cluster need not be in this machine."""
    named = [device for device in case.devices if device == options.device]
    return named[0] if options.engine == "ray" and named else choose_device(case, options.device)


def _threads(options: Options, device: Device) -> int:
    import torch

    if options.threads is not None:
        return options.threads
    return torch.get_num_threads() if options.engine == "local" else _RAY_THREADS[device]


def _engine(options: Options, wanted: Wanted, progress: Progress) -> Engine:
    subject, threads = wanted.subject, wanted.threads
    assert threads is not None
    if options.engine == "local":
        build = partial(build_drawer, subject, wanted.feature_folder, progress)
        return LocalEngine(build, settings=partial(fixed_threads, threads))
    from nearlossless.evaluation.ray_engine import RayEngine

    job = WorkerJob(
        case=subject.case,
        case_folder=subject.case_folder.absolute(),
        recipe_name=subject.recipe_name,
        recipe=subject.recipe,
        device=subject.device,
        features=wanted.feature_folder,
        threads=threads,
    )
    limit_s = subject.case.sampling.startup_limit_s
    return RayEngine(job, address=options.address, workers=options.workers, limit_s=limit_s, progress=progress)
