"""How fast both pipelines are: paired latencies, then where the time goes."""

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Any

from nearlossless.accepting.accepted import accepted_speeds
from nearlossless.cases.case import Case
from nearlossless.environment import Fingerprint
from nearlossless.fields import Device
from nearlossless.measuring import baseline_drawer
from nearlossless.pipelines.drawing import draw_batch
from nearlossless.pipelines.phases import phase_times
from nearlossless.pipelines.requests import batches
from nearlossless.progress import Progress
from nearlossless.record.speed import AcceptedSpeeds, PhaseTimes, Samples, Speeds
from nearlossless.runs.selection import Subject
from nearlossless.speed.clocks import clock_reader
from nearlossless.speed.latencies import PairedLatencies
from nearlossless.speed.quiet import watch_of
from nearlossless.speed.slowdown import max_latency_slowdown, open_questions
from nearlossless.speed.timing import measure_alone, measure_pairs, synchronizer
from nearlossless.verdicts import Check


def measure_phases(baseline: Any | None, compiled: Any, case: Case, device: Device) -> dict[str, list[PhaseTimes]]:
    """The phases of two calls of each pipeline, A B B A; none of a pipeline that does not tell them."""
    first, sides = batches(case.generation)[0], {"baseline_phases": baseline, "compiled_phases": compiled}
    found: dict[str, list[PhaseTimes]] = {name: [] for name in sides}
    for name in (*sides, *reversed(sides)):
        times = phase_times(sides[name], case.generation, first, device) if sides[name] is not None else None
        found[name] += [times] if times is not None else []
    return found


def accepted_of(subject: Subject, fingerprint: Fingerprint | None) -> AcceptedSpeeds | None:
    """What a subject is held against: the record last accepted on this machine; None where no slowdown is limited."""
    if max_latency_slowdown(subject.thresholds) is None:
        return None
    if fingerprint is None:
        return AcceptedSpeeds(problem="this machine's fingerprint was not taken")
    return accepted_speeds(subject.case_folder, subject.recipe_name, subject.case.generation.batch_size, fingerprint)


def measure_latencies(
    baseline: Any | None, compiled: Any, subject: Subject, progress: Progress, accepted: AcceptedSpeeds | None
) -> PairedLatencies:
    """
    Paired latencies of a batch's call until the speedup is decided, at this process's share of the error rate.

    Without a baseline, latencies of the compiled pipeline alone until its ceiling is decided. Where the case limits
    a slowdown, until that is decided, too; without an accepted record as long as sampling allows, so that this one
    is worth accepting.
    """
    case, first = subject.case, batches(subject.case.generation)[0]
    draw_compiled = partial(draw_batch, compiled, case.generation, first)

    sampling = case.sampling.shared_by(case.sampling.processes)

    def tell(count: int, check: Check) -> None:
        if count % 5 == 0:
            progress.within(f"speedup: sample {count}, {check.outcome.lower()}", sampling.budget_s)

    asked: dict[str, Any] = {
        "sampling": sampling,
        "max_latency_s": subject.thresholds.max_latency_s,
        "questions": open_questions(accepted, subject.thresholds, sampling, has_baseline=baseline is not None),
        "watch": watch_of(subject.device),
        "read_mhz": clock_reader(subject.device),
        "synchronize": synchronizer(subject.device),
        "progress": tell,
    }
    with progress.phase("speedup: warm-up"):
        if baseline is None:
            return measure_alone(draw_compiled, **asked)
        draw_baseline = partial(baseline_drawer(baseline, case), first)
        return measure_pairs(draw_baseline, draw_compiled, min_speedup=subject.thresholds.min_speedup, **asked)


def measure_speed(
    baseline: Any | None,
    compiled: Any,
    subject: Subject,
    progress: Progress,
    *,
    fingerprint: Fingerprint | None = None,
    replicas: Sequence[Samples] = (),
) -> Speeds:
    """The latencies of this process beside those of others, then the phases of calls of their own."""
    accepted = accepted_of(subject, fingerprint)
    pairs = measure_latencies(baseline, compiled, subject, progress, accepted)
    with progress.phase("speedup: time by phase"):
        phases = measure_phases(baseline, compiled, subject.case, subject.device)
    return Speeds(**dataclasses.asdict(pairs), replicas=[*replicas], accepted=accepted, **phases)
