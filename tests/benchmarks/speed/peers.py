"""The rules of others, by their own code: does a gate raise an alarm over these compiled latencies?"""

from collections.abc import Callable, Iterator

import numpy as np
from asv.commands.compare import _is_result_better
from asv_runner.statistics import compute_stats
from pytest_benchmark.stats import Stats
from pytest_benchmark.utils import parse_compare_fail
from scipy.stats import ttest_ind_from_stats
from tests.benchmarks.speed.traces import Bools, Floats, Traces

ATTEMPTS = 4  # the first and three retries
ASV_FACTOR = 1.1  # its default
Rule = Callable[[Traces, Traces], Bools]


def _rows(record: Traces, run: Traces) -> Iterator[tuple[list[float], list[float]]]:
    yield from zip(record.compiled_s.tolist(), run.compiled_s.tolist(), strict=True)


def _benchmark_stats(samples: list[float]) -> dict[str, float]:
    stats = Stats()
    for sample in samples:
        stats.update(sample)
    return {"min": stats.min, "mean": stats.mean, "median": stats.median}


def pytest_benchmark(option: str) -> Rule:
    """`--benchmark-compare-fail`, with the check that pytest-benchmark makes of the option."""
    check = parse_compare_fail(option)

    def rule(record: Traces, run: Traces) -> Bools:
        return np.array([bool(check.fails(_benchmark_stats(b), _benchmark_stats(a))) for a, b in _rows(record, run)])

    return rule


def asv(record: Traces, run: Traces) -> Bools:
    """`asv compare` and `asv continuous`: significantly different, and worse by the factor."""
    alarms = []
    for former, current in _rows(record, run):
        (before, before_stats), (after, after_stats) = compute_stats(former, 1), compute_stats(current, 1)
        alarms.append(_is_result_better(before, after, (before_stats, former), (after_stats, current), ASV_FACTOR))
    return np.array(alarms, dtype=bool)


def retried_threshold(record: Traces, run: Traces) -> Bools:
    """The mean may grow by 5 %; up to three retries, each with a fresh share of the samples, and one is enough."""
    attempts = run.compiled_s.reshape(run.compiled_s.shape[0], ATTEMPTS, -1).mean(axis=2)
    return np.asarray((attempts > 1.05 * record.compiled_s.mean(axis=1, keepdims=True)).all(axis=1))


def peeked_welch(alpha: float) -> Rule:
    """Welch's t-test that the run is slower, looked at after every sample from the fifth on."""

    def rule(record: Traces, run: Traces) -> Bools:
        alarms = np.zeros(run.compiled_s.shape[0], dtype=bool)
        former = _moments(record.compiled_s)
        for count in range(5, run.compiled_s.shape[1] + 1):
            _, p = ttest_ind_from_stats(
                *_moments(run.compiled_s[:, :count]), *former, equal_var=False, alternative="greater"
            )
            alarms |= p < alpha
        return alarms

    return rule


def _moments(samples: Floats) -> tuple[Floats, Floats, int]:
    return samples.mean(axis=1), samples.std(axis=1, ddof=1), samples.shape[1]


PEERS: dict[str, Rule] = {
    "pytest-benchmark mean:5%": pytest_benchmark("mean:5%"),
    "pytest-benchmark min:5%": pytest_benchmark("min:5%"),
    "asv, factor 1.1": asv,
    "5 %, three retries": retried_threshold,
    "Welch peeked, 0.05": peeked_welch(0.05),
    "Welch peeked, 0.001": peeked_welch(0.001),
}
