"""How fast both pipelines are: paired latencies, and where the time of each call goes."""

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Any

from nearlossless.accepting.accepted import accepted_speeds
from nearlossless.environment import Fingerprint
from nearlossless.measuring import draw_baseline
from nearlossless.pipelines.drawing import draw_batch
from nearlossless.pipelines.phases import PhasedCalls
from nearlossless.pipelines.requests import batches
from nearlossless.progress import Progress
from nearlossless.record.speed import AcceptedSpeeds, Samples, Speeds
from nearlossless.runs.selection import Subject
from nearlossless.speed.clocks import clock_reader
from nearlossless.speed.quiet import watch_of
from nearlossless.speed.slowdown import max_latency_slowdown, open_questions
from nearlossless.speed.timing import measure_alone, measure_pairs, synchronizer
from nearlossless.verdicts import Check


def accepted_of(subject: Subject, fingerprint: Fingerprint | None) -> AcceptedSpeeds | None:
    """What a subject is held against: the record last accepted on this machine; None where no slowdown is limited."""
    if max_latency_slowdown(subject.thresholds) is None:
        return None
    if fingerprint is None:
        return AcceptedSpeeds(problem="this machine's fingerprint was not taken")
    return accepted_speeds(subject.case_folder, subject.recipe_name, subject.case.generation.batch_size, fingerprint)


def measure_latencies(
    baseline: Any | None,
    compiled: Any,
    subject: Subject,
    progress: Progress,
    accepted: AcceptedSpeeds | None,
    *,
    waiting: Sequence[int] = (),
) -> Samples:
    """
    Paired latencies of a batch's call, with the phases of each, until the speedup is decided.

    Without a baseline, latencies of the compiled pipeline alone until its ceiling is decided. Where the case limits
    a slowdown, until that is decided, too; without an accepted record as long as sampling allows, so that this one
    is worth accepting. Each process decides at its share of the error rate; `waiting` are those that wait for this one.
    """
    case, first = subject.case, batches(subject.case.generation)[0]
    of_compiled = PhasedCalls(partial(draw_batch, compiled, case.generation, first), compiled, subject.device)
    sampling = case.sampling.shared_by(case.sampling.processes)

    def tell(count: int, check: Check) -> None:
        if count % 5 == 0:
            progress.within(f"speedup: sample {count}, {check.outcome.lower()}", sampling.budget_s)

    asked: dict[str, Any] = {
        "sampling": sampling,
        "max_latency_s": subject.thresholds.max_latency_s,
        "questions": open_questions(accepted, subject.thresholds, sampling, has_baseline=baseline is not None),
        "watch": watch_of(subject.device, waiting=waiting),
        "read_mhz": clock_reader(subject.device),
        "synchronize": synchronizer(subject.device),
        "progress": tell,
    }
    with progress.phase("speedup: warm-up"):
        if baseline is None:
            alone = measure_alone(of_compiled, **asked)
            return Samples(**dataclasses.asdict(alone), compiled_phases=of_compiled.times(len(alone.compiled_s)))
        of_baseline = PhasedCalls(partial(draw_baseline, baseline, case, first), baseline, subject.device)
        pairs = measure_pairs(of_baseline, of_compiled, min_speedup=subject.thresholds.min_speedup, **asked)
    return Samples(
        **dataclasses.asdict(pairs),
        baseline_phases=of_baseline.times(len(pairs.baseline_s)),
        compiled_phases=of_compiled.times(len(pairs.compiled_s)),
    )


def measure_speed(
    baseline: Any | None,
    compiled: Any,
    subject: Subject,
    progress: Progress,
    *,
    fingerprint: Fingerprint | None = None,
    replicas: Sequence[Samples] = (),
) -> Speeds:
    """The latencies of this process beside those of others."""
    accepted = accepted_of(subject, fingerprint)
    samples = measure_latencies(baseline, compiled, subject, progress, accepted)
    return Speeds(**dict(samples), replicas=[*replicas], accepted=accepted)
