"""
Does memory grow from call to call? Readings after each round of the same calls, judged by the later half of them.

Pure: numbers in, slopes out.
"""

import math
from collections.abc import Sequence
from itertools import combinations
from statistics import NormalDist, median
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from nearlossless.fields import Int64
from nearlossless.sequential import Interval

FIRST_LOOK = 20  # rounds; half of them are judged, and fewer than 9 readings leave the interval at alpha 0.001 infinite
FEWEST_JUDGED = FIRST_LOOK // 2
ALPHA = 0.001  # error rate of the interval


class Rounds(BaseModel):
    """
    What lay in memory after each round of calls, oldest first, with garbage collected and freed pages given back.

    Every round makes the same calls, so that each reading comes back to the same size and prompt.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    drawn: tuple[str, ...] = Field(min_length=1)  # the calls of a round, as <width>x<height>
    tensor_bytes: list[Int64] = Field(default_factory=list)  # torch's: allocated on CUDA, in new live ones on the CPU
    host_bytes: list[Int64] = Field(default_factory=list)  # of the process's own pages; empty: the system is silent
    problem: str | None = None  # what a call failed with

    @model_validator(mode="after")
    def _each_round_has_both(self) -> Self:
        if self.host_bytes and len(self.host_bytes) != len(self.tensor_bytes):
            raise ValueError(f"{len(self.host_bytes)} of host_bytes, {len(self.tensor_bytes)} of tensor_bytes")
        return self

    @property
    def calls(self) -> int:
        """How many calls were made."""
        return len(self.tensor_bytes) * len(self.drawn)


def looks(most_calls: int, calls_a_round: int) -> list[int]:
    """After how many rounds to look whether all is decided: each time twice as many, as far as the calls go."""
    most = max(FIRST_LOOK, most_calls // calls_a_round)
    counts = [FIRST_LOOK]
    while counts[-1] * 2 <= most:
        counts.append(counts[-1] * 2)
    return counts


def judged(readings: Sequence[int]) -> Sequence[int]:
    """The later half: what fills once, a cache or a pool, has had the earlier one for it."""
    return readings[len(readings) // 2 :]


def tensor_growth_bytes(rounds: Rounds) -> int | None:
    """
    By how much the least of the later readings lies above the least of the earlier ones, of those that are judged.

    Exact where calls are: what comes and goes does not count, and what stays does. None of too few readings.
    """
    readings = judged(rounds.tensor_bytes)
    if len(readings) < FEWEST_JUDGED:
        return None
    middle = len(readings) // 2
    return max(0, min(readings[middle:]) - min(readings[:middle]))


def host_slope_bytes(rounds: Rounds) -> tuple[float, Interval] | None:
    """Bytes of host memory that a call leaves behind, and an interval for it; None of too few readings."""
    readings = judged(rounds.host_bytes)
    if len(readings) < FEWEST_JUDGED:
        return None
    slope, interval = theil_sen(readings, alpha=ALPHA)
    share = 1 / len(rounds.drawn)
    return slope * share, interval.scaled(share)


def theil_sen(values: Sequence[float], *, alpha: float) -> tuple[float, Interval]:
    """
    Median of the slopes through all pairs of values one apart, and its interval at confidence 1 - alpha.

    A single jump, however high, moves neither end by more than a few ranks; no distribution is assumed.

    Args:
        values: At least two, evenly spaced.
        alpha: In (0, 1).

    Returns:
        Slope a step; the interval is infinite while the values are too few to exclude anything.

    Source:
        Sen 1968, "Estimates of the regression coefficient based on Kendall's tau", Journal of the American
        Statistical Association 63(324), with the normal approximation of Kendall's statistic.
    """
    count = len(values)
    slopes = sorted((values[j] - values[i]) / (j - i) for i, j in combinations(range(count), 2))
    deviation = math.sqrt(count * (count - 1) * (2 * count + 5) / 18)
    rank = math.floor((len(slopes) - NormalDist().inv_cdf(1 - alpha / 2) * deviation) / 2)
    interval = Interval(slopes[rank - 1], slopes[-rank]) if rank >= 1 else Interval(-math.inf, math.inf)
    return median(slopes), interval


def is_clean(rounds: Rounds, *, max_leak_bytes: float) -> bool:
    """Whether neither tensors nor host memory grow: more calls could change nothing but that."""
    host = host_slope_bytes(rounds)
    return host is not None and host[1].high <= max_leak_bytes and tensor_growth_bytes(rounds) == 0
