"""Anytime-valid interval for the mean of samples that keep coming: look after every sample, stop when you like."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

# Precision of the Gaussian mixture over the standardized effect. Small values decide large effects after few samples.
MIXTURE_PRECISION = 0.05


@dataclass(frozen=True, slots=True)
class Interval:
    """A closed interval; infinite ends mean that nothing is excluded yet."""

    low: float
    high: float

    def exponential(self) -> "Interval":
        """The interval of exp(x); infinite ends become 0 and infinity."""
        return Interval(_exp(self.low), _exp(self.high))


def _exp(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf


def median_confidence_sequence(samples: Sequence[float], *, alpha: float) -> Interval:
    """
    Interval that covers the median at all sample sizes at once with probability 1 - alpha, whatever the distribution.

    The samples below the true median are tosses of a fair coin. As many of them as a fair coin would hardly show,
    by a Jeffreys mixture over all coins, exclude a value: what is left lies between two of the sorted samples.

    Args:
        samples: In the order taken; independent, from a continuous distribution.
        alpha: Error rate over the whole, unbounded sequence, in (0, 1).

    Returns:
        Two of the samples; infinite while they are too few to exclude anything (fewer than 13 at alpha 0.001).

    Source:
        Howard and Ramdas 2022, "Sequential estimation of quantiles with applications to A/B testing and best-arm
        identification", Bernoulli 28(3), arXiv:1906.09712 (beta-binomial mixture for one fixed quantile).
    """
    count, ordered = len(samples), sorted(samples)
    excluded = 0  # how many of the smallest, and as many of the largest, cannot be the median
    while excluded < count / 2 and _log_evidence_against_a_fair_coin(excluded, count) >= -math.log(alpha):
        excluded += 1
    if not excluded:
        return Interval(-math.inf, math.inf)
    return Interval(ordered[excluded - 1], ordered[count - excluded])


def _log_evidence_against_a_fair_coin(heads: int, tosses: int) -> float:
    """Log of (likelihood mixed over Beta(1/2, 1/2)) / (likelihood of 1/2)."""
    mixed = math.lgamma(heads + 0.5) + math.lgamma(tosses - heads + 0.5) - math.lgamma(tosses + 1) - math.log(math.pi)
    return mixed + tosses * math.log(2)


def confidence_sequence(samples: Sequence[float], *, alpha: float) -> Interval:
    """
    Interval that covers the mean at all sample sizes at once with probability 1 - alpha.

    It inverts the t-test martingale with a Gaussian mixture over mean / deviation, so that the deviation
    need not be known.

    Args:
        samples: In the order taken; independent and about normal.
        alpha: Error rate over the whole, unbounded sequence, in (0, 1).

    Returns:
        Around the sample mean; infinite while the samples are too few to exclude anything.

    Source:
        Wang and Ramdas 2023, "Anytime-valid t-tests and confidence sequences for Gaussian means with unknown
        variance", arXiv:2310.03722, section 4.2 (scale-invariant likelihood ratio, Gaussian mixture).
    """
    count = len(samples)
    if count < 2:
        return Interval(-math.inf, math.inf)
    mean, deviation = statistics.fmean(samples), statistics.stdev(samples)
    freedom, spread = count - 1, 1 + count / MIXTURE_PRECISION
    log_limit = (2 / count) * (0.5 * math.log(spread) - math.log(alpha))
    if log_limit >= math.log(spread):
        return Interval(-math.inf, math.inf)
    limit = math.exp(log_limit)
    t_squared = freedom * (limit - 1) / (1 - limit / spread)
    half_width = deviation * math.sqrt(t_squared / count)
    return Interval(mean - half_width, mean + half_width)
