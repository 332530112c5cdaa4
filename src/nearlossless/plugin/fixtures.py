"""
What gate tests ask for by name: a subject, its pipelines and processes. `measurements.py` has what they measure.

    speed_replicas      the speedup's pairs in further processes
    process_runs        baseline, cold and warm start in fresh processes
    baseline_pipeline   the case as diffusers runs it
    compiled_pipeline   the same case under the recipe
    other_stack         the same recipe in another environment and here, in turn (only with --against)
    gate                takes the verdict
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from nearlossless.measuring.fresh_processes import ProcessRuns
from nearlossless.plugin.leaving import leave
from nearlossless.plugin.stash import PROGRESS, RUN
from nearlossless.plugin.workers import quiet_machine
from nearlossless.printable import printable
from nearlossless.processes.environment import cache_environment
from nearlossless.progress import Progress
from nearlossless.record.speed import Samples
from nearlossless.record.subject import SubjectRecord
from nearlossless.runs.selection import Subject
from nearlossless.stacks.results import StackComparison
from nearlossless.verdicts import Outcome, Verdict

Concluding = Callable[[Verdict], Verdict]


@pytest.fixture(scope="session")
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    """The (case, recipe) on one device that is being judged."""
    chosen: Subject = request.param
    yield chosen
    # Python keeps the frames of the last failure, and with them the pipelines, until the next one.
    for name in ("last_exc", "last_type", "last_value", "last_traceback"):
        if hasattr(sys, name):
            delattr(sys, name)
    if "torch" in sys.modules:  # the pipelines, which depend on this fixture, are gone by now
        from nearlossless.pipelines.drawing import release

        release(chosen.device)


@pytest.fixture(scope="session")
def subject_record(subject: Subject, request: pytest.FixtureRequest) -> SubjectRecord:
    """Where gate tests leave what they measured."""
    record = request.config.stash[RUN].subject(subject)
    leave(request.config, subject)
    return record


@pytest.fixture(scope="session")
def progress(request: pytest.FixtureRequest) -> Progress:
    """Signs of life on the terminal, past pytest's capturing."""
    return request.config.stash[PROGRESS]


@pytest.fixture(scope="session")
def cache_folder(subject: Subject, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compiled kernels of a subject: empty at first, shared by all its gates."""
    return tmp_path_factory.mktemp(f"cache-{subject.id}", numbered=True)


@pytest.fixture(scope="session")
def process_runs(
    subject: Subject,
    subject_record: SubjectRecord,
    cache_folder: Path,
    progress: Progress,
    request: pytest.FixtureRequest,
) -> ProcessRuns:
    """Baseline (where it fits), cold and warm start, each in a fresh process, while no session pipeline is resident."""
    from nearlossless.measuring.estimating import estimate_peaks
    from nearlossless.measuring.fresh_processes import measure_processes

    if subject.device == "cuda":
        subject_record.estimated_gib = estimate_peaks(subject, progress)
    with quiet_machine(request.config, progress):
        runs = measure_processes(subject, cache_folder, progress, request.config.stash[RUN].baseline_processes)
    if runs.baseline_out_of_memory is not None:
        subject.baseline_ran_out_of_memory(runs.baseline_out_of_memory)
        subject_record.baseline_out_of_memory = runs.baseline_out_of_memory
    subject_record.baseline_process, subject_record.cold_process = runs.baseline, runs.cold
    subject_record.warm_process, subject_record.artifact_process = runs.warm, runs.artifact
    fingerprint = (runs.baseline or runs.cold).fingerprint
    if fingerprint is not None:
        subject_record.fingerprint = fingerprint.with_variables(subject.recipe.environment)
    return runs


@pytest.fixture(scope="session")
def other_stack(
    subject: Subject,
    subject_record: SubjectRecord,
    cache_folder: Path,
    progress: Progress,
    request: pytest.FixtureRequest,
) -> StackComparison:
    """Both stacks in turn, each in a worker process, while no session pipeline is resident."""
    from nearlossless.measuring.other_stack import both_stacks, compare_stacks
    from nearlossless.stacks.interpreters import check_interpreter, find_interpreter

    there = find_interpreter(request.config.getoption("against"))
    assert there is not None
    check_interpreter(there)
    with both_stacks(there, subject, cache_folder) as stacks:
        folder = request.config.stash[RUN].folder
        subject_record.stacks = compare_stacks(stacks, subject, progress, report_folder=folder)
    if subject_record.fingerprint is None:
        found = subject_record.stacks.here.fingerprint
        subject_record.fingerprint = found.with_variables(subject.recipe.environment)
    return subject_record.stacks


@pytest.fixture(scope="session")
def speed_replicas(subject: Subject, progress: Progress, request: pytest.FixtureRequest) -> list[Samples] | Exception:
    """
    The speedup's pairs in further processes, as many as the case's sampling asks for, before any pipeline is built.

    None of them where the speedup gate is not selected. What ended one of them is kept for that gate alone.
    """
    from nearlossless.measuring.replicas import measure_replicas

    if subject.case.sampling.processes == 1 or not _is_selected("speeds", subject, request.session.items):
        return []
    try:
        with quiet_machine(request.config, progress):
            return measure_replicas(subject, progress)
    except Exception as error:
        return error


def _is_selected(fixture: str, subject: Subject, items: Sequence[pytest.Item]) -> bool:
    return any(
        fixture in getattr(item, "fixturenames", ())
        and getattr(getattr(item, "callspec", None), "params", {}).get("subject") == subject
        for item in items
    )


@pytest.fixture(scope="session")
def baseline_pipeline(
    subject: Subject, subject_record: SubjectRecord, progress: Progress, request: pytest.FixtureRequest
) -> Any:
    """The case as diffusers runs it; built once per (case, recipe). None where it does not fit."""
    request.getfixturevalue("speed_replicas")  # they need the device for themselves
    if subject.baseline_does_not_fit is not None:
        return None
    from nearlossless.pipelines.loading import build_baseline, fingerprint_of

    with progress.phase("baseline pipeline: load"):
        pipeline = build_baseline(subject.case, subject.device)
    found = fingerprint_of(pipeline, subject.case, subject.device)
    subject_record.fingerprint = found.with_variables(subject.recipe.environment)
    return pipeline


@pytest.fixture(scope="session")
def compiled_pipeline(
    subject: Subject,
    subject_record: SubjectRecord,
    baseline_pipeline: Any,
    cache_folder: Path,
    progress: Progress,
    request: pytest.FixtureRequest,
) -> Iterator[Any]:
    """The same case under the recipe; shares with the baseline, if there is one, what the recipe leaves alone."""
    from nearlossless.measuring.building import compile_alone, compile_beside
    from nearlossless.pipelines.loading import fingerprint_of

    if not subject.recipe.is_built_in:
        request.getfixturevalue("process_runs")  # a backend that ends its process must not end this one
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (cache_environment(cache_folder) | subject.recipe.environment).items():
            patch.setenv(name, value)
        with quiet_machine(request.config, progress):  # compiling takes every core from what another worker times
            if baseline_pipeline is None:
                compiled, subject_record.effect = compile_alone(subject, progress)
                subject_record.fingerprint = fingerprint_of(compiled, subject.case, subject.device)
            else:
                compiled, subject_record.effect = compile_beside(baseline_pipeline, subject, progress)
        yield compiled


@pytest.fixture
def gate(subject: Subject, request: pytest.FixtureRequest) -> Concluding:
    """
    Takes a verdict into the record and hands it back.

    A gate of which nothing was applicable is skipped, and one whose regressions are all waived ends as `xfailed`.
    """

    def conclude(verdict: Verdict) -> Verdict:
        kept = request.config.stash[RUN].conclude(subject, verdict, request.node.nodeid)
        if kept.outcome == Outcome.WAIVED:
            pytest.xfail(printable(f"{Outcome.WAIVED} {kept.reason}"))
        if verdict.outcome is Outcome.NOT_APPLICABLE:
            pytest.skip(printable(f"not applicable: {verdict.reason}"))
        return verdict

    return conclude
