"""Latency traces of many gates at once, seeded, with the noise that machines show."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
PAIRS = 80  # of a run, and of the record it is held against
SPEEDUP = 1.5  # of the compiled pipeline where nothing changed
MODES_APART = 0.04
THROTTLED = 0.2


@dataclass(frozen=True, slots=True)
class Traces:
    """Seconds of both sides, shaped (gates, pairs), in the order taken, and which pairs the hardware slowed down."""

    baseline_s: Floats
    compiled_s: Floats
    is_throttled: Bools

    def slower(self, slowdown: float) -> "Traces":
        """The same noise on a compiled pipeline that takes this share longer."""
        return Traces(self.baseline_s, self.compiled_s * (1 + slowdown), self.is_throttled)


# Factors on the latency of each call, shaped (gates, calls), in the order of time.
Noise = Callable[[np.random.Generator, tuple[int, int], float], Floats]


def iid(rng: np.random.Generator, shape: tuple[int, int], cv: float) -> Floats:
    """Independent normal noise."""
    return 1 + cv * np.clip(rng.standard_normal(shape), -8, 8)


def student(rng: np.random.Generator, shape: tuple[int, int], cv: float) -> Floats:
    """Independent, Student's t with three degrees of freedom, scaled to the coefficient of variation."""
    return np.asarray(np.exp(cv * rng.standard_t(3, shape) / np.sqrt(3)))


def spikes(rng: np.random.Generator, shape: tuple[int, int], cv: float) -> Floats:
    """Normal, and every fiftieth call takes longer by a lognormal share, 37 % at the median."""
    is_spike = rng.random(shape) < 0.02
    return iid(rng, shape, cv) * (1 + is_spike * rng.lognormal(-1.0, 1.0, shape))


def one_spike(rng: np.random.Generator, shape: tuple[int, int], cv: float) -> Floats:
    """Normal, and one of the first forty calls takes three times as long."""
    factors = iid(rng, shape, cv)
    factors[np.arange(shape[0]), rng.integers(0, 40, shape[0])] *= 3
    return factors


def drift(rng: np.random.Generator, shape: tuple[int, int], cv: float) -> Floats:
    """Normal, and the machine becomes 5 % slower or faster over the run."""
    direction = rng.choice([-1.0, 1.0], (shape[0], 1))
    return iid(rng, shape, cv) * (1 + 0.05 * direction * np.linspace(0, 1, shape[1]))


def autoregressive(rng: np.random.Generator, shape: tuple[int, int], cv: float, *, correlation: float) -> Floats:
    """Normal, each call resembling the one before."""
    return 1 + cv * np.clip(_autoregressive(rng, shape, correlation), -8, 8)


def _autoregressive(rng: np.random.Generator, shape: tuple[int, int], correlation: float) -> Floats:
    steps = rng.standard_normal(shape)
    steps[:, 1:] *= np.sqrt(1 - correlation**2)
    for call in range(1, shape[1]):
        steps[:, call] += correlation * steps[:, call - 1]
    return steps


def bimodal(rng: np.random.Generator, shape: tuple[int, int], cv: float, *, stay: float) -> Floats:
    """Normal around one of two modes, in which the machine stays with this probability from call to call."""
    return iid(rng, shape, cv) * (1 + MODES_APART * _episodes(rng, shape, enter=1 - stay, leave=1 - stay))


def _episodes(rng: np.random.Generator, shape: tuple[int, int], *, enter: float, leave: float) -> Bools:
    """Where a two-state Markov chain is in its second state."""
    toss = rng.random(shape)
    state = np.empty(shape, dtype=bool)
    state[:, 0] = toss[:, 0] < enter / (enter + leave)
    for call in range(1, shape[1]):
        state[:, call] = np.where(state[:, call - 1], toss[:, call] >= leave, toss[:, call] < enter)
    return state


def paired(factors: Floats) -> tuple[Floats, Floats]:
    """(baseline, compiled) of calls in the order A B B A, each shaped (gates, pairs)."""
    first, second = factors[:, 0::2], factors[:, 1::2]
    is_reversed = np.arange(first.shape[1]) % 2 == 1
    return np.where(is_reversed, second, first), np.where(is_reversed, first, second)


@dataclass(frozen=True, slots=True)
class Machine:
    """A noise model: of every call, of the ratio of pairs, of throttling, and of what differs between two days."""

    name: str
    noise: Noise = iid
    ratio_correlation: float | None = None  # of noise on the pairs' ratio, as strong as that of independent calls
    throttles: bool = False
    later_noise: float = 1.0  # factor on the noise of the day that is judged
    later_level: float = 0.0  # spread of the machine's level between two days
    promised: float | None = None  # largest share of false alarms

    def run(self, rng: np.random.Generator, gates: int, cv: float, *, is_later: bool = False) -> Traces:
        """One run of every gate; the later one is judged, the other was accepted before."""
        shape = (gates, 2 * PAIRS)
        scatter = cv * (self.later_noise if is_later else 1.0)
        slow = _episodes(rng, shape, enter=0.02, leave=0.1) if self.throttles else np.zeros(shape, dtype=bool)
        factors = self.noise(rng, shape, scatter) * (1 + THROTTLED * slow)
        if is_later and self.later_level:
            factors = factors * np.exp(self.later_level * rng.standard_normal((gates, 1)))
        baseline, compiled = paired(factors)
        if self.ratio_correlation is not None:
            ratio = _autoregressive(rng, (gates, PAIRS), self.ratio_correlation)
            baseline, compiled = np.ones_like(baseline), np.exp(np.sqrt(2) * scatter * ratio)
        return Traces(baseline, compiled / SPEEDUP, slow[:, 0::2] | slow[:, 1::2])


STRICT, LOOSE = 0.002, 0.01
MACHINES = (
    Machine("independent", promised=STRICT),
    Machine("Student t, 3 degrees of freedom", student, promised=STRICT),
    Machine("lognormal spikes, 2 % of calls", spikes, promised=STRICT),
    Machine("one 3x spike", one_spike, promised=STRICT),
    Machine("5 % drift over the run", drift, promised=LOOSE),
    Machine("calls correlate, 0.5", partial(autoregressive, correlation=0.5), promised=LOOSE),
    Machine("calls correlate, 0.9", partial(autoregressive, correlation=0.9), promised=LOOSE),
    Machine("bimodal, stays 20 calls", partial(bimodal, stay=0.95), promised=LOOSE),
    Machine("bimodal, each call anew", partial(bimodal, stay=0.5), promised=LOOSE),
    Machine("throttles, flagged", throttles=True, promised=LOOSE),
    Machine("three times the noise of the record", later_noise=3.0, promised=LOOSE),
    Machine("level differs by 1 % from day to day", later_level=0.01, promised=LOOSE),
    Machine("pair ratios correlate, 0.3", ratio_correlation=0.3),
    Machine("pair ratios correlate, 0.6", ratio_correlation=0.6),
    Machine("pair ratios correlate, 0.9", ratio_correlation=0.9),
)
