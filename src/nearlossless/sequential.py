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
