"""How fast both pipelines are: paired latencies, then denoising steps a second."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from nearlossless.accepted import accepted_speeds
from nearlossless.cases import Case
from nearlossless.environment import Fingerprint
from nearlossless.measuring import baseline_drawer
from nearlossless.pipelines.drawing import call, draw_batch, step_timer
from nearlossless.pipelines.requests import batches
from nearlossless.progress import Progress
from nearlossless.quiet import watch_of
from nearlossless.record import AcceptedSpeeds, Speeds
from nearlossless.selection import Subject
from nearlossless.slowdown import max_latency_slowdown, open_questions
from nearlossless.timing import PairedLatencies, measure_alone, measure_pairs, synchronizer
from nearlossless.verdicts import Check


def steps_per_second(pipeline: Any, case: Case, synchronize: Callable[[], None]) -> float | None:
    """Denoising steps a second, each of a whole batch, from the second step on; None where the pipeline tells none."""

    def clock() -> float:
        synchronize()
        return time.perf_counter()

    ends, options = step_timer(clock)
    try:
        call(pipeline, case.generation, batches(case.generation)[0], **options)
    except Exception:  # a user's own callable need not know the callback; that it draws was seen before
        return None
    return (len(ends) - 1) / (ends[-1] - ends[0]) if len(ends) > 1 and ends[-1] > ends[0] else None


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
    Paired latencies of a batch's call until the speedup is decided, then iteration speeds in calls of their own.

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
            baseline_steps_per_s=steps_per_second(baseline, case, synchronize) if baseline is not None else None,
            compiled_steps_per_s=steps_per_second(compiled, case, synchronize),
        )


def paired(speeds: Speeds) -> PairedLatencies:
    """The recorded pairs, as the judge takes them."""
    return PairedLatencies(speeds.baseline_s, speeds.compiled_s, speeds.set_aside)
