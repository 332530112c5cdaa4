"""Is it really faster?"""

from nearlossless.cases import Sampling
from nearlossless.thresholds import Thresholds
from nearlossless.timing import PairedLatencies, judge_latencies, judge_pairs
from nearlossless.verdicts import Outcome, Verdict, found, verdict


def judge_speedup(
    pairs: PairedLatencies, sampling: Sampling, thresholds: Thresholds, *, baseline_does_not_fit: str | None = None
) -> Verdict:
    """
    Is the compiled pipeline at least `min_speedup` times as fast, and its median latency at most `max_latency_s`?

    Args:
        pairs: Latencies of both; where the baseline does not fit, of the compiled pipeline alone.
        sampling: Error rate of both questions.
        thresholds: In force here.
        baseline_does_not_fit: Why there is no baseline; then the latency judges alone, and must have a ceiling.
    """
    if baseline_does_not_fit is not None:
        checks = [found("speedup", Outcome.NOT_APPLICABLE, baseline_does_not_fit)]
    else:
        checks = [judge_pairs(pairs, sampling=sampling, min_speedup=thresholds.min_speedup)]
    if baseline_does_not_fit is not None or thresholds.max_latency_s is not None:
        checks.append(judge_latencies(pairs.compiled_s, sampling=sampling, max_latency_s=thresholds.max_latency_s))
    return verdict("speedup", checks)
