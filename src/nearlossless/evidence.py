"""Is the mean of samples that keep coming above a floor? Answered after every sample, in constant time."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from nearlossless.cases.case import Sampling
from nearlossless.sequential import (
    Interval,
    Moments,
    autocorrelation,
    correlation_z,
    difference_interval,
    mean_interval,
)
from nearlossless.verdicts import Outcome

BLOCK_SIZES = (1, 2, 4, 8)
# Neighbours that resemble each other more than one in twenty series of independent samples shows are judged in blocks.
CORRELATED_Z = 1.645
LARGEST_CORRELATION = 0.9


@dataclass(slots=True)
class Series:
    """Samples, and means of blocks of 2, 4, 8 successive ones."""

    blocks: tuple[Moments, ...] = field(default_factory=lambda: tuple(Moments() for _ in BLOCK_SIZES))
    waiting: list[float | None] = field(default_factory=lambda: [None for _ in BLOCK_SIZES])
    lowest: float = math.inf
    highest: float = -math.inf

    def add(self, value: float) -> None:
        """Take one more sample; each second block of a size completes one of the next."""
        self.lowest, self.highest = min(self.lowest, value), max(self.highest, value)
        for level, block in enumerate(self.blocks):
            block.add(value)
            former = self.waiting[level]
            if former is None:
                self.waiting[level] = value
                return
            self.waiting[level] = None
            value = (former + value) / 2

    def mean_without(self, extreme: float) -> float:
        """Mean of all samples but one."""
        single = self.blocks[0]
        return (single.mean * single.count - extreme) / (single.count - 1)


def narrowest_band(clip: float, reference: Sequence[float]) -> float:
    """
    How far from the floor a sample counts: `clip`, or less where a reference shows how little samples scatter.

    Five robust standard deviations (median distance to the median, times 1.4826) of the reference, but not less than
    a tenth of `clip`, since a quiet day is no promise.
    """
    if not reference:
        return clip
    centre = statistics.median(reference)
    deviation = 1.4826 * statistics.median(abs(value - centre) for value in reference)
    return min(clip, max(clip / 10, 5 * deviation))


class MeanJudge:
    """
    Holds the mean of samples against a floor, or against a floor below the mean of a reference.

    Each sample counts at most a `band` from the floor, so that one outlier can neither decide nor block. What the
    clipped samples decide is worth only as much as the plain ones allow. Samples that resemble their neighbours are
    judged in blocks.
    """

    def __init__(self, floor: float, *, sampling: Sampling, reference: Sequence[float] = ()) -> None:
        self._floor, self._sampling = floor, sampling
        centre = statistics.median(reference) if reference else 0.0
        self._shift, self.band = floor + centre, narrowest_band(sampling.clip, reference)
        self._plain, self._clipped = Series(), Series()
        self._plain_reference, self._clipped_reference = Series(), Series()
        for value in reference:
            self._plain_reference.add(value - centre)
            self._clipped_reference.add(self._within_band(value - centre))
        self._has_reference = bool(reference)

    def _within_band(self, distance: float) -> float:
        return min(max(distance, -self.band), self.band)

    def add(self, value: float) -> None:
        """Take one more sample."""
        distance = value - self._shift
        self._plain.add(distance)
        self._clipped.add(self._within_band(distance))

    @property
    def count(self) -> int:
        """Samples so far."""
        return self._plain.blocks[0].count

    @property
    def block_size(self) -> int | None:
        """Of the smallest blocks whose means look independent; None: the samples do not fill enough of them."""
        level, _ = self._level()
        return None if level is None else BLOCK_SIZES[level]

    def interval(self, *, clipped: bool) -> Interval:
        """For the mean, or its distance to the reference's; holds at any stopping time."""
        level, widening = self._level()
        found = self._distance(level or 0, widening, clipped=clipped)
        return Interval(self._floor + found.low, self._floor + found.high)

    def _level(self) -> tuple[int | None, float]:
        """The level of blocks to judge, and by how much to widen the interval where the largest correlate, too."""
        for level, samples in enumerate(self._clipped.blocks):
            reference = self._clipped_reference.blocks[level]
            if samples.count < self._sampling.min_pairs or (self._has_reference and reference.count < 2):
                return None, 1.0
            if correlation_z(samples, reference) < CORRELATED_Z:
                return level, 1.0
        # The variance of a mean of samples that each resemble the one before, over that of independent ones.
        alike = min(autocorrelation(samples, reference), LARGEST_CORRELATION)
        return level, math.sqrt((1 + alike) / (1 - alike))

    def _distance(self, level: int, widening: float, *, clipped: bool) -> Interval:
        """Interval of how far the mean lies above the floor."""
        alpha, samples = self._sampling.alpha, (self._clipped if clipped else self._plain).blocks[level]
        if not self._has_reference:
            return mean_interval(samples, alpha=alpha).widened(widening)
        reference = (self._clipped_reference if clipped else self._plain_reference).blocks[level]
        return difference_interval(samples, reference, alpha=alpha).widened(widening)

    @property
    def outcome(self) -> Outcome:
        """PASS above the floor, REGRESSION below it, INCONCLUSIVE while nothing is certain."""
        level, widening = self._level()
        if level is None:
            return Outcome.INCONCLUSIVE
        plain = self._distance(level, widening, clipped=False)
        if plain.high < 0:
            return Outcome.REGRESSION
        clipped = self._distance(level, widening, clipped=True)
        if clipped.low < 0 <= clipped.high:
            return Outcome.INCONCLUSIVE
        outcome = Outcome.PASS if clipped.low >= 0 else Outcome.REGRESSION
        if outcome is Outcome.PASS and plain.low >= 0:
            return outcome
        # Samples that all fall beyond the band have no spread left: a coin thrown this often shows one side as rarely.
        if self.count < 1 - math.log2(self._sampling.alpha):
            return Outcome.INCONCLUSIVE
        return outcome if self._is_supported(outcome) else Outcome.INCONCLUSIVE

    def _is_supported(self, outcome: Outcome) -> bool:
        """One outlier is forgiven; several are part of how the pipeline behaves, and count at full length."""
        passes = outcome is Outcome.PASS
        mean = self._plain.mean_without(self._plain.lowest if passes else self._plain.highest)
        reference, reference_mean = self._plain_reference, 0.0
        if self._has_reference and reference.blocks[0].count > 1:
            reference_mean = reference.mean_without(reference.highest if passes else reference.lowest)
        return (mean >= reference_mean) == passes
