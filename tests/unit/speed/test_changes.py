"""By how much a call or a phase of it changed, with an interval from the pairs that count."""

from collections.abc import Sequence

import numpy as np
import pytest
from tests.unit.conftest import phase_times

from nearlossless.cases.case import Sampling
from nearlossless.record.speed import PhaseTimes, Samples, Speeds
from nearlossless.speed.changes import phase_change, time_change
from nearlossless.speed.speedup import judge_pairs

SAMPLING = Sampling(min_pairs=5)


def decoding(call: PhaseTimes) -> float:
    """The figure under test."""
    return call.decoding_s


def samples(baseline_s: Sequence[float], compiled_s: Sequence[float], **changes: object) -> Samples:
    """Calls whose decoding takes what the whole call takes."""
    return Samples.model_validate(
        {
            "baseline_s": baseline_s,
            "compiled_s": compiled_s,
            "baseline_phases": [phase_times(decoding_s=s) for s in baseline_s],
            "compiled_phases": [phase_times(decoding_s=s) for s in compiled_s],
            **changes,
        }
    )


def scattered(centre: float, count: int = 12, seed: int = 0) -> list[float]:
    """Seconds around a centre, with 1 % of scatter."""
    return [float(s) for s in centre * np.exp(np.random.default_rng(seed).normal(0, 0.01, count))]


def test_interval_is_the_speedups_turned_over() -> None:
    """Of a phase that takes what the call takes, the interval is the speedup's own, as compiled over baseline."""
    run = samples(scattered(2.0, seed=1), scattered(1.0, seed=2))
    found = phase_change(Speeds(**dict(run)), decoding, SAMPLING)
    assert found == time_change(Speeds(**dict(run)), SAMPLING)
    speedup = judge_pairs(run.pairs, sampling=SAMPLING, min_speedup=None).interval
    assert found is not None
    assert speedup is not None
    assert (found.low, found.high) == pytest.approx((1 / speedup.high, 1 / speedup.low))
    assert found.low < 0.5 < found.high


def test_pair_that_was_set_aside_does_not_count() -> None:
    """A stalled pair changes nothing once it is set aside, and much before."""
    calm = Speeds(**dict(samples(scattered(2.0, seed=1), scattered(1.0, seed=2))))
    stalled_s = ([*scattered(2.0, seed=1), 2.0], [*scattered(1.0, seed=2), 50.0])
    stalled = Speeds(**dict(samples(*stalled_s)))
    aside = Speeds(**dict(samples(*stalled_s, set_aside=[None] * 12 + ["stalled"])))
    found = [phase_change(speeds, decoding, SAMPLING) for speeds in (calm, aside, stalled)]
    assert found[0] == found[1] != found[2]


def test_processes_give_the_hull_of_their_intervals() -> None:
    """Two processes in which a phase differs: the interval holds both, and is wider than either's."""
    fast, slow = (samples(scattered(2.0, seed=1), scattered(centre, seed=2)) for centre in (1.0, 1.2))
    alone = phase_change(Speeds(**dict(fast)), decoding, SAMPLING)
    both = phase_change(Speeds(**dict(fast), replicas=[slow]), decoding, SAMPLING)
    assert alone is not None
    assert both is not None
    assert (both.low < alone.low < 0.5, both.high > 0.6) == (True, True)


def test_pairs_that_correlate_widen_the_interval_at_any_change() -> None:
    """Drifting pairs are judged in blocks, whether the pipeline is twice as fast or as fast as the baseline."""
    noise, drift = np.random.default_rng(3).normal(0, 0.01, 80), [0.0]
    for step in noise[1:]:
        drift.append(0.8 * drift[-1] + float(step))
    widths = []
    for centre in (1.0, 0.5):
        drifting = [centre * float(np.exp(each)) for each in drift]
        for compiled_s in (drifting, [drifting[i] for i in np.random.default_rng(4).permutation(80)]):
            found = time_change(Speeds(baseline_s=[1.0] * 80, compiled_s=compiled_s), SAMPLING)
            assert found is not None
            widths.append(found.high / found.low - 1)
    same, same_shuffled, half, half_shuffled = widths
    assert half == pytest.approx(same)
    assert half > 1.5 * half_shuffled == pytest.approx(1.5 * same_shuffled)


@pytest.mark.parametrize(
    "run",
    [
        samples([2.0] * 6, [1.0] * 6, baseline_phases=[phase_times()] * 2, compiled_phases=[phase_times()] * 2),
        samples([2.0] * 6, [1.0] * 6, baseline_phases=[]),
        samples([2.0], [1.0]),
        samples([], [1.0] * 6),
        samples([2.0] * 6, [0.0] * 6),
        samples([2.0] * 6, [1.0] * 6, set_aside=[None]),
        samples([2.0] * 6, [1.0] * 5),
    ],
    ids=["other calls", "no phases", "one pair", "no baseline", "no time", "other set aside", "unequal"],
)
def test_without_a_figure_for_each_pair_there_is_none(run: Samples) -> None:
    """Nothing is said where the phases are not those of the pairs, or too few."""
    assert phase_change(Speeds(**dict(run)), decoding, SAMPLING) is None
