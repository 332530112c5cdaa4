"""The judge of a mean: both sides of its floor, with and without a reference, spikes, correlation, bands."""

import math

import numpy as np
import pytest

from nearlossless.cases.case import Sampling
from nearlossless.evidence import MeanJudge, narrowest_band
from nearlossless.verdicts import Outcome

SAMPLING = Sampling()


def noise(seed: int, count: int, scale: float = 0.004) -> list[float]:
    """Independent normal samples around 0, as log-ratios of pairs scatter."""
    samples: list[float] = np.random.default_rng(seed).normal(0, scale, count).tolist()
    return samples


def judged(samples: list[float], floor: float, reference: list[float] | None = None) -> MeanJudge:
    """A judge that has seen these samples."""
    judge = MeanJudge(floor, sampling=SAMPLING, reference=reference or [])
    for sample in samples:
        judge.add(sample)
    return judge


@pytest.mark.parametrize(("floor", "outcome"), [(-0.01, Outcome.PASS), (0.01, Outcome.REGRESSION)])
@pytest.mark.parametrize("reference", [[], noise(1, 60)], ids=["alone", "reference"])
def test_a_clear_distance_is_decided(floor: float, outcome: Outcome, reference: list[float]) -> None:
    """Twenty samples a percent off the floor, or off the reference less a margin, are decided on the right side."""
    assert judged(noise(2, 20), floor, reference).outcome is outcome


@pytest.mark.parametrize("reference", [[], noise(1, 60)], ids=["alone", "reference"])
def test_on_the_floor_nothing_is_decided(reference: list[float]) -> None:
    """Samples whose mean is the floor stay undecided."""
    assert judged(noise(3, 60), 0.0, reference).outcome is Outcome.INCONCLUSIVE


def test_a_common_offset_is_no_difference() -> None:
    """What samples and reference share does not count."""
    samples, reference = noise(2, 20), noise(1, 60)
    moved = judged([s + 0.4 for s in samples], -0.01, [r + 0.4 for r in reference])
    assert moved.interval(clipped=True).low == pytest.approx(
        judged(samples, -0.01, reference).interval(clipped=True).low
    )


def test_a_short_reference_decides_later() -> None:
    """The reference's own uncertainty is part of the interval: five samples leave it wider than sixty."""
    widths = []
    for count in (5, 60):
        interval = judged(noise(2, 40), 0.0, noise(1, count)).interval(clipped=True)
        widths.append(interval.high - interval.low)
    assert widths[0] > 1.5 * widths[1]


def test_a_noisier_day_may_not_borrow_the_calm_of_its_reference() -> None:
    """The scatter of the noisier group counts: 10 samples of sd 0.02 beside a reference of 0.001."""
    interval = judged(noise(2, 10, 0.02), 0.0, noise(1, 60, 0.001)).interval(clipped=False)
    assert interval.high - interval.low > 2 * 3 * 0.02 / math.sqrt(10) * 0.7


def test_few_samples_decide_nothing() -> None:
    """Below the smallest number there is no decision, however clear."""
    assert judged([1.0, 1.01, 1.02, 1.03], 0.0).outcome is Outcome.INCONCLUSIVE
    assert judged([1.0, 1.01, 0.99, 1.01, 1.0], 0.0).outcome is Outcome.PASS


@pytest.mark.parametrize("where", ["samples", "reference"])
@pytest.mark.parametrize("spike", [-math.log(3), math.log(3)])
@pytest.mark.parametrize(("shift", "outcome"), [(0.03, Outcome.PASS), (-0.03, Outcome.REGRESSION)])
def test_one_spike_neither_flips_nor_hides(where: str, spike: float, shift: float, outcome: Outcome) -> None:
    """A call that takes three times as long, on either side, today or in the record, leaves the verdict what it is."""
    samples, reference = [s + shift for s in noise(4, 40)], noise(5, 60)
    (samples if where == "samples" else reference)[7] += spike
    assert judged(samples, 0.0, reference).outcome is outcome


def drawn_out(correlation: float, count: int, seed: int) -> list[float]:
    """Samples that each resemble the one before."""
    steps, found = noise(seed, count), [0.0]
    for step in steps:
        found.append(correlation * found[-1] + math.sqrt(1 - correlation**2) * step)
    return found[1:]


def test_independent_samples_are_judged_one_by_one() -> None:
    """Noise without memory needs no blocks."""
    assert judged(noise(6, 60), 0.0).block_size == 1


def test_correlated_samples_are_judged_in_blocks() -> None:
    """Samples that resemble their neighbours are judged in blocks, with a wider interval than one by one."""
    samples = drawn_out(0.7, 80, 8)
    judge = judged(samples, 0.0)
    assert judge.block_size in {2, 4, 8}
    shuffled = judged(np.random.default_rng(1).permutation(samples).tolist(), 0.0)
    found, independent = judge.interval(clipped=True), shuffled.interval(clipped=True)
    assert found.high - found.low > 1.3 * (independent.high - independent.low)


def test_too_few_blocks_decide_nothing() -> None:
    """A trend over eight samples fills no five blocks: above the floor from end to end, it is undecided."""
    judge = judged([1.0 + 0.001 * number for number in range(8)], 0.99)
    assert (judge.block_size, judge.outcome) == (None, Outcome.INCONCLUSIVE)


def test_a_reference_too_short_for_blocks_decides_nothing() -> None:
    """Where samples must be judged in blocks and the reference fills none, there is no decision and no error."""
    judge = judged([0.01 * math.sin(number / 20) for number in range(60)], 0.0, noise(1, 5))
    assert (judge.block_size, judge.outcome) == (None, Outcome.INCONCLUSIVE)


def test_correlation_of_a_record_holds_for_the_first_samples() -> None:
    """Samples too few to show their correlation are judged by that of the reference."""
    reference = drawn_out(0.9, 80, 9)
    assert judged(noise(2, 5), 0.0, reference).block_size is None
    assert judged(noise(2, 5), 0.0, noise(1, 80)).block_size == 1


@pytest.mark.parametrize(
    ("reference", "band"),
    [([], 0.05), (noise(1, 60, 0.004), 0.02), (noise(1, 60, 0.1), 0.05), ([0.1] * 60, 0.005)],
    ids=["none", "quiet", "loud", "still"],
)
def test_band_follows_the_reference(reference: list[float], band: float) -> None:
    """Five standard deviations of the reference, at most the setting, at least a tenth of it."""
    assert narrowest_band(0.05, reference) == pytest.approx(band, rel=0.25)
