"""Change points: rates over seeded simulated series, both ways, and what is no change at all."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from nearlossless.history.changes import LEAST_RUNS, Change, find_changes

NIGHTS, CV = 60, 0.003
Noise = Callable[[np.random.Generator, int], NDArray[np.float64]]


def normal(random: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Independent nights."""
    return random.normal(size=count)


def heavy(random: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Independent nights with heavy tails (Student's t with three degrees of freedom), of variance 1."""
    values: NDArray[np.float64] = random.standard_t(3, size=count) / np.sqrt(3)
    return values


def correlated(random: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Nights that resemble the last one: autocorrelation 0.3, variance 1."""
    values = np.empty(count)
    values[0] = random.normal()
    for i in range(1, count):
        values[i] = 0.3 * values[i - 1] + np.sqrt(1 - 0.3**2) * random.normal()
    return values


def found(levels: NDArray[np.float64], noise: NDArray[np.float64]) -> list[Change]:
    """What is found in latencies around these levels."""
    return find_changes((levels * np.exp(CV * noise)).tolist(), resolution=1e-4, is_relative=True)


def drifting(start: int, nights: int, rate: float, count: int = NIGHTS) -> NDArray[np.float64]:
    """Levels that rise by `rate` a night, for so many nights after `start`."""
    levels: NDArray[np.float64] = np.power(1 + rate, np.clip(np.arange(float(count)) - start, 0, nights))
    return levels


@pytest.mark.parametrize(("noise", "nights"), [(normal, 20), (normal, 60), (heavy, 60), (correlated, 60)])
def test_unchanged_series_stay_silent(noise: Noise, nights: int) -> None:
    """At least 98 in 100 series in which nothing changed have no finding, under three kinds of noise."""
    random = np.random.default_rng(1)
    alarms = sum(bool(found(np.ones(nights), noise(random, nights))) for _ in range(300))
    assert alarms <= 6


@pytest.mark.parametrize("noise", [normal, heavy])
@pytest.mark.parametrize("size", [0.01, -0.01])
def test_step_is_dated(noise: Noise, size: float) -> None:
    """A step of 1 % at CV 0.3 % is found as one step, dated within two nights, in 95 of 100 series of 60 nights."""
    random = np.random.default_rng(2)
    hits = 0
    for _ in range(100):
        at = int(random.integers(10, 51))
        changes = found(np.where(np.arange(NIGHTS) < at, 1, 1 + size), noise(random, NIGHTS))
        hits += len(changes) == 1 and not changes[0].is_drift and abs(changes[0].first - at) <= 2
    assert hits >= 95


@pytest.mark.parametrize(("start", "nights"), [(20, 20), (39, 20), (0, 20)])
def test_slow_drift_is_dated(start: int, nights: int) -> None:
    """0.3 % a night over 20 nights is found as one drift, begun and ended within 3 nights, its size within 15 %."""
    random = np.random.default_rng(3)
    hits = 0
    for _ in range(50):
        changes = found(drifting(start, nights, 0.003), normal(random, NIGHTS))
        if len(changes) == 1 and changes[0].is_drift:
            (change,) = changes
            size = (change.after / change.before - 1) / (1.003**nights - 1)
            dated = abs(change.last - start) <= 3 and abs(change.first - start - nights) <= 3
            hits += dated and abs(size - 1) <= 0.15
    assert hits >= 48


def test_no_single_night_shows_the_drift() -> None:
    """The drift that is found moves by no more than one standard deviation of the noise from night to night."""
    levels = drifting(20, 20, 0.003)
    assert np.diff(np.log(levels)).max() <= CV


def test_much_slower_drift_is_found() -> None:
    """0.05 % a night over 40 nights is found in 95 of 100 series, as a drift or as steps."""
    random = np.random.default_rng(4)
    assert sum(bool(found(drifting(10, 40, 0.0005), normal(random, NIGHTS))) for _ in range(100)) >= 95


def test_steps_up_and_down_are_told_apart() -> None:
    """A regression and its repair are two steps, not a drift."""
    levels = np.ones(NIGHTS)
    levels[20:40] = 1.03
    changes = found(levels, normal(np.random.default_rng(5), NIGHTS))
    assert [(change.last, change.first, change.after > change.before) for change in changes] == [
        (19, 20, True),
        (39, 40, False),
    ]


def test_two_steps_of_one_direction_stay_two() -> None:
    """Two sudden rises with quiet nights between them are no drift."""
    levels = np.where(np.arange(NIGHTS) < 20, 1.0, np.where(np.arange(NIGHTS) < 40, 1.03, 1.06))
    changes = found(levels, normal(np.random.default_rng(6), NIGHTS))
    assert [(change.last, change.first) for change in changes] == [(19, 20), (39, 40)]


@pytest.mark.parametrize("nights", [0, 30, 59])
def test_single_spike_is_no_change(nights: int) -> None:
    """One night at three times the latency changes nothing, at the ends of the series neither."""
    levels = np.ones(NIGHTS)
    levels[nights] = 3
    assert found(levels, normal(np.random.default_rng(7), NIGHTS)) == []


def test_spike_does_not_hide_a_step() -> None:
    """A step is dated although other nights were interrupted."""
    levels = np.where(np.arange(NIGHTS) < 30, 1.0, 1.01)
    levels[[5, 45]] = 3
    (change,) = found(levels, normal(np.random.default_rng(8), NIGHTS))
    assert abs(change.first - 30) <= 2


def test_exact_figures_change_exactly() -> None:
    """A figure without any noise steps where it steps, and by how much it steps."""
    (change,) = find_changes([1.0] * 20 + [1.5] * 20, resolution=1e-4, is_relative=True)
    assert (change.last, change.first) == (19, 20)
    assert (change.before, change.after) == pytest.approx((1.0, 1.5))


@pytest.mark.parametrize(("size", "is_found"), [(1e-6, False), (1e-2, True)])
def test_resolution_bounds_what_is_told(size: float, is_found: bool) -> None:
    """Without noise, a change far below the resolution is no change, and one far above it is."""
    assert bool(find_changes([1.0] * 20 + [1 + size] * 20, resolution=1e-4, is_relative=True)) is is_found


def test_absolute_changes_are_in_units_of_the_series() -> None:
    """A series that may be zero or negative is searched for differences, not ratios."""
    (change,) = find_changes([-0.5] * 20 + [0.25] * 20, resolution=1e-5, is_relative=False)
    assert (change.before, change.after) == (-0.5, 0.25)


@pytest.mark.parametrize("count", [0, LEAST_RUNS - 1, LEAST_RUNS])
def test_few_runs_say_nothing(count: int) -> None:
    """With fewer than ten runs nothing is found, however clear; with ten, the clear step is."""
    series = ([1.0] * 5 + [2.0] * 5)[:count]
    assert len(find_changes(series, resolution=1e-4, is_relative=True)) == (count == LEAST_RUNS)
