"""How fast both pipelines are: paired latencies, then where the time goes."""

from functools import partial
from typing import Any

from nearlossless.accepted import accepted_speeds
from nearlossless.cases import Case
from nearlossless.environment import Fingerprint
from nearlossless.fields import Device
from nearlossless.latencies import PairedLatencies
from nearlossless.measuring import baseline_drawer
from nearlossless.pipelines.drawing import draw_batch
from nearlossless.pipelines.phases import phase_times
from nearlossless.pipelines.requests import batches
from nearlossless.progress import Progress
from nearlossless.quiet import watch_of
from nearlossless.record.speed import AcceptedSpeeds, PhaseTimes, Speeds
from nearlossless.selection import Subject
from nearlossless.slowdown import max_latency_slowdown, open_questions
from nearlossless.timing import measure_alone, measure_pairs, synchronizer
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


def measure_speed(
    baseline: Any | None,
    compiled: Any,
    subject: Subject,
    progress: Progress,
    *,
    fingerprint: Fingerprint | None = None,
) -> Speeds:
    """
    Paired latencies of a batch's call until the speedup is decided, then the phases of calls of their own.

    Without a baseline, latencies of the compiled pipeline alone until its ceiling is decided. Where the case limits
    a slowdown, until that is decided, too; without an accepted record as long as sampling allows, so that this one
    is worth accepting.
    """
    case, synchronize = subject.case, synchronizer(subject.device)
    accepted = accepted_of(subject, fingerprint)
    first = batches(case.generation)[0]
    draw_compiled = partial(draw_batch, compiled, case.generation, first)

    def tell(count: int, check: Check) -> None:
        if count % 5 == 0:
            progress.say(f"speedup: sample {count}, {check.outcome.lower()}")

    asked: dict[str, Any] = {
        "sampling": case.sampling,
        "max_latency_s": subject.thresholds.max_latency_s,
        "questions": open_questions(accepted, subject.thresholds, case.sampling, has_baseline=baseline is not None),
        "watch": watch_of(subject.device),
        "synchronize": synchronize,
        "progress": tell,
    }
    with progress.phase("speedup: warm-up"):
        if baseline is None:
            pairs = measure_alone(draw_compiled, **asked)
        else:
            draw_baseline = partial(baseline_drawer(baseline, case), first)
            pairs = measure_pairs(draw_baseline, draw_compiled, min_speedup=subject.thresholds.min_speedup, **asked)
        return Speeds(
            baseline_s=pairs.baseline_s,
            compiled_s=pairs.compiled_s,
            set_aside=pairs.set_aside,
            accepted=accepted,
            **measure_phases(baseline, compiled, case, subject.device),
        )


def paired(speeds: Speeds) -> PairedLatencies:
    """The recorded pairs, as the judge takes them."""
    return PairedLatencies(speeds.baseline_s, speeds.compiled_s, speeds.set_aside)
