"""Slopes over rounds: series whose answer is known, and what must not count as a leak."""

import math
import statistics
from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearlossless.memory.leaks import (
    FIRST_LOOK,
    Rounds,
    host_slope_bytes,
    is_clean,
    looks,
    tensor_growth_bytes,
    theil_sen,
)

KIB = 1024
LIMIT = 32 * KIB


def rounds_of(host: list[int] | None = None, tensors: list[int] | None = None, calls: int = 1) -> Rounds:
    """Readings of rounds of so many calls; what is not given stays where it is."""
    count = len(host if host is not None else tensors or [])
    still = [2**20] * count
    drawn = ("64x64",) * calls
    return Rounds(drawn=drawn, tensor_bytes=still if tensors is None else tensors, host_bytes=host or still)


@given(st.integers(-(2**30), 2**30), st.integers(9, 60))
def test_exact_line_has_its_slope_and_no_doubt(slope: int, count: int) -> None:
    """Values on a line give its slope, and an interval of no width."""
    found, interval = theil_sen([7 + slope * step for step in range(count)], alpha=0.001)
    assert (found, interval.low, interval.high) == (slope, slope, slope)


@pytest.mark.parametrize(("count", "is_finite"), [(8, False), (9, True)])
def test_interval_needs_nine_values(count: int, is_finite: bool) -> None:
    """Kendall's statistic of eight values cannot reach an error rate of 0.001, that of nine can."""
    _, interval = theil_sen(list(range(count)), alpha=0.001)
    assert math.isfinite(interval.high - interval.low) is is_finite


def test_interval_covers_as_often_as_it_says() -> None:
    """Over seeded noise of three kinds, the interval at 0.05 misses the true slope in at most 8 % of 500 series."""
    generator = np.random.default_rng(0)
    kinds = (generator.normal, generator.exponential, lambda: generator.integers(-1, 2))
    for noise in kinds:
        missed = 0
        for _ in range(500):
            _, interval = theil_sen([3 * step + noise() for step in range(20)], alpha=0.05)
            missed += not interval.low <= 3 <= interval.high
        assert missed <= 0.08 * 500


def test_slope_is_of_a_call() -> None:
    """A round of two calls that grows by 8 KiB is a leak of 4 KiB a call, with its interval in the same unit."""
    found = host_slope_bytes(rounds_of([8 * KIB * step for step in range(20)], calls=2))
    assert found is not None
    assert (found[0], found[1].low, found[1].high) == (4 * KIB, 4 * KIB, 4 * KIB)


@pytest.mark.parametrize("count", [0, 1, FIRST_LOOK - 2])
def test_too_few_readings_tell_nothing(count: int) -> None:
    """Fewer rounds than the first look takes give neither slope nor growth, and are not clean."""
    few = rounds_of([0] * count, [0] * count)
    assert host_slope_bytes(few) is None
    assert tensor_growth_bytes(few) is None
    assert not is_clean(few, max_leak_bytes=LIMIT)


@pytest.mark.parametrize(("fills", "is_growth"), [(20, False), (40, True)])
def test_cache_that_fills_in_the_first_half_is_none_of_it(fills: int, is_growth: bool) -> None:
    """64 KiB a round until a cache is full count only where it still fills in the later half."""
    series = [64 * KIB * min(step, fills) for step in range(40)]
    rounds = rounds_of(series, series)
    found = host_slope_bytes(rounds)
    assert found is not None
    assert (found[1].low > LIMIT) is is_growth
    assert bool(tensor_growth_bytes(rounds)) is is_growth
    assert is_clean(rounds, max_leak_bytes=LIMIT) is not is_growth


@pytest.mark.parametrize("at", range(21, 39))
def test_single_jump_is_no_leak(at: int) -> None:
    """64 MiB that are taken once, wherever it is, never leave the whole interval above the limit."""
    found = host_slope_bytes(rounds_of([(step >= at) * 2**26 for step in range(40)]))
    assert found is not None
    assert found[1].low <= LIMIT


@pytest.mark.parametrize("seed", range(20))
def test_garbage_that_comes_and_goes_is_no_leak(seed: int) -> None:
    """Host memory that wanders by up to a MiB around its level is not above the limit; tensors come back exactly."""
    generator = np.random.default_rng(seed)
    host = [2**28 + int(generator.integers(2**20)) for _ in range(80)]
    tensors = [1000 + 512 * int(generator.integers(2)) for _ in range(80)]
    found = host_slope_bytes(rounds_of(host, tensors))
    assert found is not None
    assert found[1].low <= LIMIT
    assert tensor_growth_bytes(rounds_of(host, tensors)) == 0


@pytest.mark.parametrize("leak_bytes", [1, 512, 2**16])
def test_tensors_of_any_size_are_counted_exactly(leak_bytes: int) -> None:
    """A tensor a round that stays shows to the byte: the later five of ten readings begin five rounds later."""
    tensors = [1000 + leak_bytes * step for step in range(FIRST_LOOK)]
    assert tensor_growth_bytes(rounds_of(tensors=tensors)) == 5 * leak_bytes


def test_tensors_that_become_fewer_are_no_growth() -> None:
    """What is given back late is no negative figure."""
    assert tensor_growth_bytes(rounds_of(tensors=list(range(FIRST_LOOK, 0, -1)))) == 0


@pytest.mark.parametrize("seed", range(10))
def test_leak_of_64_kib_shows_in_noise(seed: int) -> None:
    """In noise of 20 KiB a reading, as a CPU showed, 64 KiB a call are above the limit at the very first look."""
    generator = np.random.default_rng(seed)
    host = list(accumulate((64 * KIB,) * FIRST_LOOK))
    found = host_slope_bytes(rounds_of([value + round(generator.normal(0, 20 * KIB)) for value in host]))
    assert found is not None
    assert found[1].low > LIMIT
    assert statistics.median([found[1].low, found[0], found[1].high]) == found[0]


@pytest.mark.parametrize(
    ("most", "calls", "counts"),
    [(160, 2, [20, 40, 80]), (160, 1, [20, 40, 80, 160]), (40, 2, [20]), (79, 2, [20]), (80, 2, [20, 40])],
)
def test_looks_double_as_far_as_the_calls_go(most: int, calls: int, counts: list[int]) -> None:
    """Looks come after 20 rounds, and each after twice as many, never beyond the most calls."""
    assert looks(most, calls) == counts
