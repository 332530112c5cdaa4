"""
What a prefix of a shuffled list says of the whole list, at whatever moment one looks.

Pure: numbers in, evidence out.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from nearlossless.sequential import Interval

LARGEST_BET = 0.9  # of what would risk all; a lost bet of everything could never be won back


@dataclass(slots=True)
class _Side:
    """A gambler who bets that the mean lies above the threshold, or below (on mirrored values)."""

    threshold: float
    total: int
    alpha: float
    log_capital: float = 0.0
    is_certain: bool = False
    count: int = 0
    sum: float = 0.0
    squares: float = 0.25  # as if half a sample of the greatest scatter came first
    mean: float = 0.5

    def add(self, value: float) -> None:
        """One more value of the list, in [0, 1]."""
        left = self.total - self.count
        expected = (self.total * self.threshold - self.sum) / left  # of the values left, were the mean the threshold
        if expected < 0:
            self.is_certain = True
        elif expected > 0 and self.log_capital > -math.inf:
            variance, number = self.squares / (self.count + 1), self.count + 1
            bet = math.sqrt(2 * math.log(1 / self.alpha) / (variance * number * math.log(number + 1)))
            won = 1 + min(bet, LARGEST_BET / expected) * (value - expected)
            self.log_capital += math.log(won) if expected <= 1 else 0.0
        self.count += 1
        self.sum += value
        self.squares += (value - self.mean) ** 2
        self.mean = (0.5 + self.sum) / (self.count + 1)
        self.is_certain = self.is_certain or self.sum > self.total * self.threshold
        self.is_certain = self.is_certain or self.log_capital >= math.log(1 / self.alpha)


@dataclass(slots=True)
class MeanEvidence:
    """
    Whether the mean of a whole list lies above or below a threshold, from a prefix of it.

    Each answer is wrong with probability `alpha` at most over all looks together, whatever the values, if the list is
    in random order. When all values are there, the mean itself answers.

    Args:
        threshold: In [low, high].
        low, high: Bounds of the values.
        total: Length of the list.
        alpha: Error rate of each answer.

    Source:
        Waudby-Smith and Ramdas 2024, "Estimating means of bounded random variables by betting", JRSS-B 86(1),
        arXiv:2010.09686, section 5 (betting while sampling without replacement), with their predictable bets.
    """

    threshold: float
    low: float
    high: float
    total: int
    alpha: float
    _above: _Side = field(init=False)
    _below: _Side = field(init=False)

    def __post_init__(self) -> None:
        threshold = (self.threshold - self.low) / (self.high - self.low)
        self._above = _Side(threshold, self.total, self.alpha)
        self._below = _Side(1 - threshold, self.total, self.alpha)

    def add(self, value: float) -> None:
        """One more value, in [low, high]."""
        scaled = (value - self.low) / (self.high - self.low)
        self._above.add(scaled)
        self._below.add(1 - scaled)

    @property
    def is_above(self) -> bool:
        """Certainly above the threshold."""
        return self._above.is_certain

    @property
    def is_below(self) -> bool:
        """Certainly below the threshold."""
        return self._below.is_certain


def share_interval(hits: int, drawn: int, total: int | None, *, alpha: float) -> Interval:
    """
    Interval for the share of hits in a list, or in all that the list is a sample of, valid at all looks at once.

    Shares that the draws make improbable beside a Jeffreys mixture over all shares are excluded.

    Args:
        hits: Among the draws.
        drawn: Draws so far, in random order.
        total: Length of the list; None: the list never ends, for the share among things like these.
        alpha: Error rate over all looks together.

    Source:
        Waudby-Smith and Ramdas 2020, "Confidence sequences for sampling without replacement", NeurIPS,
        arXiv:2006.04347, section 3 (prior-posterior ratio; beta-binomial prior, hypergeometric likelihood); its limit
        for a list without end is Robbins's beta-binomial mixture.
    """
    if total is not None and drawn == total:
        return Interval(hits / total, hits / total)
    if not drawn:
        return Interval(0.0, 1.0)
    mixture = _log_choose(drawn, hits) + _log_beta(hits + 0.5, drawn - hits + 0.5) - _log_beta(0.5, 0.5)
    if total is None:
        return _infinite(hits, drawn, mixture, alpha)

    def is_possible(marked: int) -> bool:
        if not hits <= marked <= total - drawn + hits:
            return False
        likelihood = _log_choose(marked, hits) + _log_choose(total - marked, drawn - hits) - _log_choose(total, drawn)
        return mixture - likelihood < math.log(1 / alpha)

    likeliest = min(max(hits, hits * (total + 1) // drawn), total - drawn + hits)
    return Interval(
        _last(is_possible, likeliest, hits) / total, _last(is_possible, likeliest, total - drawn + hits) / total
    )


def _last(is_possible: Callable[[int], bool], inside: int, outside: int) -> int:
    """The possible number nearest to `outside`, where the possible ones lie together around `inside`."""
    if is_possible(outside):
        return outside
    while abs(outside - inside) > 1:
        middle = (inside + outside) // 2
        inside, outside = (middle, outside) if is_possible(middle) else (inside, middle)
    return inside


def _infinite(hits: int, drawn: int, mixture: float, alpha: float) -> Interval:
    def is_excluded(share: float) -> bool:
        if share <= 0 or share >= 1:
            return bool(hits) if share <= 0 else hits < drawn
        likelihood = _log_choose(drawn, hits) + hits * math.log(share) + (drawn - hits) * math.log1p(-share)
        return mixture - likelihood >= math.log(1 / alpha)

    def end(outside: float) -> float:
        inside = hits / drawn
        if not is_excluded(outside):
            return outside
        for _ in range(60):
            middle = (inside + outside) / 2
            inside, outside = (inside, middle) if is_excluded(middle) else (middle, outside)
        return inside

    return Interval(end(0.0), end(1.0))


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
