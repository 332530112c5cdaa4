"""Is it really faster?"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from nearlossless.cases.case import Sampling
from nearlossless.cases.thresholds import Thresholds
from nearlossless.record.speed import AcceptedSpeeds
from nearlossless.speed.latencies import PairedLatencies
from nearlossless.speed.replicas import across
from nearlossless.speed.slowdown import judge_slowdown
from nearlossless.speed.speedup import judge_latencies, judge_pairs
from nearlossless.verdicts import Check, Outcome, Verdict, found, verdict


def judge_speedup(
    runs: Sequence[PairedLatencies],
    sampling: Sampling,
    thresholds: Thresholds,
    *,
    accepted: AcceptedSpeeds | None = None,
    phases: Mapping[str, float] | None = None,
    baseline_does_not_fit: str | None = None,
) -> Verdict:
    """
    Is the compiled pipeline at least `min_speedup` times as fast, and its median latency at most `max_latency_s`?

    And, where the case limits a slowdown, is it no slower than what was last accepted on this machine?

    Args:
        runs: Latencies of both of each process; where the baseline does not fit, of the compiled pipeline alone.
        sampling: Error rate of each question, all processes together.
        thresholds: In force here.
        accepted: Latencies of the record last accepted on this machine, or why there are none.
        phases: Speedup of each phase: a regression tells where it lies.
        baseline_does_not_fit: Why there is no baseline; then the latency judges alone, and must have a ceiling.
    """
    shared = sampling.shared_by(len(runs))
    by_run = [_checks(pairs, shared, thresholds, accepted, baseline_does_not_fit) for pairs in runs]
    checks = [across(same) for same in zip(*by_run, strict=True)]
    return verdict("speedup", [_located(check, phases) for check in checks])


def _checks(
    pairs: PairedLatencies,
    sampling: Sampling,
    thresholds: Thresholds,
    accepted: AcceptedSpeeds | None,
    baseline_does_not_fit: str | None,
) -> list[Check]:
    """Of one process."""
    if baseline_does_not_fit is not None:
        checks = [found("speedup", Outcome.NOT_APPLICABLE, baseline_does_not_fit)]
    else:
        checks = [judge_pairs(pairs, sampling=sampling, min_speedup=thresholds.min_speedup)]
    if baseline_does_not_fit is not None or thresholds.max_latency_s is not None:
        checks.append(judge_latencies(pairs, sampling=sampling, max_latency_s=thresholds.max_latency_s))
    has_baseline = baseline_does_not_fit is None
    return checks + judge_slowdown(pairs, accepted, thresholds, sampling, has_baseline=has_baseline)


def _located(check: Check, phases: Mapping[str, float] | None) -> Check:
    if not phases or check.outcome is not Outcome.REGRESSION:
        return check
    by_phase = "by phase " + ", ".join(f"{name} {speedup:.3g}x" for name, speedup in phases.items())
    return replace(check, note=f"{check.note}; {by_phase}" if check.note else by_phase)
