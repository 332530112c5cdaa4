"""
What gate tests ask for by name: what was measured with both pipelines, also left in the record.

    speeds       paired latencies, and where the time goes
    sizes        what each size, and each swap of LoRAs, compiles and draws
    pictures     step parity, replay, and every picture with its scores
    evaluation   the verdict on thousands of prompts drawn by both (only with -m release)
"""

from typing import Any

import pytest

from nearlossless.plugin.stash import RUN
from nearlossless.progress import Progress
from nearlossless.record.quality import ParityRecord
from nearlossless.record.speed import Samples, Speeds
from nearlossless.record.subject import SubjectRecord
from nearlossless.runs.selection import Subject
from nearlossless.verdicts import Verdict


@pytest.fixture
def speeds(
    subject: Subject,
    subject_record: SubjectRecord,
    speed_replicas: list[Samples] | Exception,
    baseline_pipeline: Any,
    compiled_pipeline: Any,
    progress: Progress,
) -> Speeds:
    """Latencies of both pipelines in turn until the speedup is decided, and denoising steps a second."""
    from nearlossless.measuring.speed import measure_speed

    if isinstance(speed_replicas, Exception):
        raise speed_replicas
    subject_record.speeds = measure_speed(
        baseline_pipeline,
        compiled_pipeline,
        subject,
        progress,
        fingerprint=subject_record.fingerprint,
        replicas=speed_replicas,
    )
    return subject_record.speeds


@pytest.fixture
def sizes(
    subject: Subject, subject_record: SubjectRecord, baseline_pipeline: Any, compiled_pipeline: Any, progress: Progress
) -> SubjectRecord:
    """What each size and each swap of LoRAs compiles and draws after warm-up."""
    from nearlossless.measuring.sizes import cycle_sizes, warmup_record
    from nearlossless.measuring.swaps import swap_loras

    cycle = cycle_sizes(baseline_pipeline, compiled_pipeline, subject, progress)
    subject_record.sizes = cycle.sizes
    subject_record.warmup = warmup_record(cycle, subject, subject_record.effect, subject_record.fingerprint)
    subject_record.swaps = swap_loras(baseline_pipeline, compiled_pipeline, subject, progress)
    return subject_record


@pytest.fixture
def pictures(
    subject: Subject,
    subject_record: SubjectRecord,
    baseline_pipeline: Any,
    compiled_pipeline: Any,
    progress: Progress,
    request: pytest.FixtureRequest,
) -> SubjectRecord:
    """
    Step parity and a replay, then every picture of the case drawn by both pipelines, compared and scored.

    Candidates are written when asked for. Synthetic weights draw no pictures.
    """
    from nearlossless.baselines.calibration import stored_noise
    from nearlossless.measuring.pictures import measure_pictures
    from nearlossless.measuring.recording import record_baseline
    from nearlossless.measuring.replaying import measure_replay
    from nearlossless.measuring.step_parity import measure_parity

    if baseline_pipeline is None:
        subject_record.parity = ParityRecord(not_applicable=subject.baseline_does_not_fit)
    else:
        with progress.phase("baseline: recorded picture"):
            recording = record_baseline(baseline_pipeline, subject.case)
        subject_record.parity = measure_parity(recording, compiled_pipeline, subject, progress)
        subject_record.replay = measure_replay(recording, compiled_pipeline, subject, progress)
    if subject.no_pictures is not None:
        return subject_record
    subject_record.noise_floor = stored_noise(subject, subject_record.fingerprint)
    run = request.config.stash[RUN]
    subject_record.pictures, candidates = measure_pictures(
        baseline_pipeline,
        compiled_pipeline,
        subject,
        subject_record.fingerprint,
        progress,
        report_folder=run.folder,
        update=request.config.getoption("update_baselines"),
    )
    run.candidates.update(candidates)
    return subject_record


@pytest.fixture
def evaluation(
    subject: Subject,
    subject_record: SubjectRecord,
    baseline_pipeline: Any,
    compiled_pipeline: Any,
    progress: Progress,
    request: pytest.FixtureRequest,
) -> Verdict:
    """Every prompt of the case's list, or of `--prompts`, drawn by both pipelines; results in the report folder."""
    from nearlossless.evaluation.record import folder_in_report
    from nearlossless.evaluation.session import evaluate_session

    assert subject_record.fingerprint is not None
    return evaluate_session(
        subject,
        baseline_pipeline,
        compiled_pipeline,
        subject_record.fingerprint,
        progress,
        folder=folder_in_report(
            request.config.stash[RUN].folder, subject.case.name, subject.device, subject.recipe_name
        ),
        prompts=request.config.getoption("prompts"),
        test=request.node.nodeid,
    )
