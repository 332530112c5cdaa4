"""Anytime-valid interval for the mean of samples that keep coming: look after every sample, stop when you like."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

# Precision of the Gaussian mixture over the standardized effect. Small values decide large effects after few samples.
MIXTURE_PRECISION = 0.05
# The same beside a reference: its samples already tell the scatter, so that large effects need no such help.
DIFFERENCE_PRECISION = 1.0


@dataclass(frozen=True, slots=True)
class Interval:
    """A closed interval; infinite ends mean that nothing is excluded yet."""

    low: float
    high: float

    def widened(self, factor: float) -> "Interval":
        """The interval around the same centre, this many times as wide."""
        if factor == 1 or not math.isfinite(self.high - self.low):
            return self
        centre, half_width = (self.low + self.high) / 2, factor * (self.high - self.low) / 2
        return Interval(centre - half_width, centre + half_width)

    def scaled(self, factor: float) -> "Interval":
        """Both ends times a positive factor."""
        return Interval(self.low * factor, self.high * factor)

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


@dataclass(slots=True)
class Moments:
    """Mean and scatter of samples, brought up to date in constant time."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0  # sum of squared distances to the mean
    steps: float = 0.0  # sum of squared differences between neighbours
    first: float = 0.0
    last: float = 0.0

    def add(self, value: float) -> None:
        """Take one more sample (Welford's update)."""
        if self.count:
            self.steps += (value - self.last) ** 2
        else:
            self.first = value
        self.last = value
        self.count += 1
        distance = value - self.mean
        self.mean += distance / self.count
        self.squares += distance * (value - self.mean)

    @property
    def squared_ends(self) -> float:
        """Sum of the squared distances of the first and the last sample to the mean."""
        return (self.first - self.mean) ** 2 + (self.last - self.mean) ** 2

    @property
    def variance(self) -> float:
        """Sample variance; 0 of a single sample."""
        return self.squares / (self.count - 1) if self.count > 1 else 0.0


def moments(samples: Iterable[float]) -> Moments:
    """The moments of samples in the order taken."""
    found = Moments()
    for sample in samples:
        found.add(sample)
    return found


def confidence_sequence(samples: Sequence[float], *, alpha: float) -> Interval:
    """
    Interval that covers the mean at all sample sizes at once with probability 1 - alpha.

    Args:
        samples: In the order taken; independent and about normal.
        alpha: Error rate over the whole, unbounded sequence, in (0, 1).

    Returns:
        Around the sample mean; infinite while the samples are too few to exclude anything.
    """
    return mean_interval(moments(samples), alpha=alpha)


def mean_interval(samples: Moments, *, alpha: float) -> Interval:
    """
    The confidence sequence of `confidence_sequence` from the moments, in constant time.

    It inverts the t-test martingale with a Gaussian mixture over mean / deviation, so that the deviation
    need not be known.

    Source:
        Wang and Ramdas 2023, "Anytime-valid t-tests and confidence sequences for Gaussian means with unknown
        variance", arXiv:2310.03722, section 4.2 (scale-invariant likelihood ratio, Gaussian mixture).
    """
    limit = _critical_t(samples.count, 0, alpha)
    return _around(samples.mean, limit, samples.variance / samples.count if samples.count else 0.0)


def difference_interval(samples: Moments, reference: Moments, *, alpha: float) -> Interval:
    """
    Interval for mean(samples) - mean(reference) that holds while samples keep coming and the reference stays.

    The same martingale for two groups: it is invariant to the common mean and scale, starts at 1 whatever the
    reference is, and so carries the reference's own uncertainty. The deviation taken is the largest of the pooled
    one and each group's: a group that scatters more than the other may not borrow its calm.

    Args:
        samples: Those that keep coming.
        reference: Taken once, before.
        alpha: Error rate over the whole sequence, in (0, 1).

    Source:
        Gönen et al. 2005, "The Bayesian two-sample t test", The American Statistician 59(3) (the likelihood ratio);
        Pérez-Ortiz et al. 2024, "E-statistics, group invariance and anytime-valid testing", Annals of Statistics
        52(4), arXiv:2208.07610 (why such a ratio may be looked at after every sample).
    """
    count, former = samples.count, reference.count
    limit = _critical_t(count, former, alpha) if former else math.inf
    if not math.isfinite(limit):
        return Interval(-math.inf, math.inf)
    pooled = (samples.squares + reference.squares) / (count + former - 2)
    variance = max(pooled, samples.variance, reference.variance)
    return _around(samples.mean - reference.mean, limit, variance * (1 / count + 1 / former))


def _around(centre: float, limit: float, squared_error: float) -> Interval:
    if not math.isfinite(limit):
        return Interval(-math.inf, math.inf)
    half_width = limit * math.sqrt(squared_error)
    return Interval(centre - half_width, centre + half_width)


@cache
def _critical_t(count: int, reference: int, alpha: float) -> float:
    """How many standard errors the mean may lie off; infinite while nothing can be excluded. No reference: 0."""
    freedom = count + reference - (2 if reference else 1)
    if not count or freedom < 1:
        return math.inf
    spread = 1 + count / MIXTURE_PRECISION
    if reference:
        spread = 1 + count * reference / (count + reference) / DIFFERENCE_PRECISION
    log_limit = (2 / (freedom + 1)) * (0.5 * math.log(spread) - math.log(alpha))
    if log_limit >= math.log(spread):
        return math.inf
    limit = math.exp(log_limit)
    return math.sqrt(freedom * (limit - 1) / (1 - limit / spread))


def correlation_z(samples: Moments, reference: Moments) -> float:
    """
    How many standard errors the lag-1 autocorrelation of two series together lies above that of noise.

    Positive when neighbours resemble each other. Approximately standard normal for independent normal samples.

    Args:
        samples: One series.
        reference: The other; may be empty.

    Source:
        Moran 1948, "Some theorems on time series II", Biometrika 35(3/4): mean -1/n and variance
        (n - 2)² / (n² (n - 1)) of the autocorrelation of n samples.
    """
    count = samples.count + reference.count
    return autocorrelation(samples, reference) * count * math.sqrt(count - 1) / (count - 2) if count > 3 else 0.0


def autocorrelation(samples: Moments, reference: Moments) -> float:
    """Lag-1 autocorrelation of two series together, less what noise of their length shows; 0 without scatter."""
    count, squares = samples.count + reference.count, samples.squares + reference.squares
    if squares <= 0:
        return 0.0
    apart = samples.steps + samples.squared_ends + reference.steps + reference.squared_ends
    series = 2 if reference.count else 1
    return 1 - apart / (2 * squares) + series / count
