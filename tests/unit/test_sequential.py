"""The confidence sequences, against a numerical integral of its definition and a coverage simulation."""

import math

import numpy as np
import pytest
from scipy import stats

from nearlossless.sequential import (
    DIFFERENCE_PRECISION,
    MIXTURE_PRECISION,
    Interval,
    Moments,
    autocorrelation,
    confidence_sequence,
    correlation_z,
    difference_interval,
    median_confidence_sequence,
    moments,
)


def _log_marginal(samples: np.ndarray, effects: np.ndarray) -> np.ndarray:
    """Log of the likelihood of each standardized effect, integrated over the scale with its right Haar prior."""
    log_scale = np.linspace(-12, 12, 6001)
    scale = np.exp(log_scale)[None, :]
    total, squares = samples.sum(), float((samples**2).sum())
    exponent = (squares - 2 * effects[:, None] * scale * total) / (2 * scale**2) + len(samples) * effects[
        :, None
    ] ** 2 / 2
    log_density = -len(samples) * log_scale[None, :] - exponent
    highest = log_density.max(axis=1, keepdims=True)
    mass = np.exp(log_density - highest).sum(axis=1) * (log_scale[1] - log_scale[0])
    return np.asarray(highest[:, 0] + np.log(mass))


def _log_bayes_factor(samples: np.ndarray) -> float:
    """Log of (mixture over effects ~ N(0, 1 / precision)) / (effect 0), by quadrature."""
    deviation = 1 / math.sqrt(MIXTURE_PRECISION)
    effects = np.linspace(-8 * deviation, 8 * deviation, 2001)
    log_prior = -0.5 * (effects / deviation) ** 2 - math.log(deviation * math.sqrt(2 * math.pi))
    log_terms = _log_marginal(samples, effects) + log_prior
    highest = log_terms.max()
    log_mixture = highest + math.log(float(np.exp(log_terms - highest).sum()) * (effects[1] - effects[0]))
    return float(log_mixture - _log_marginal(samples, np.zeros(1))[0])


@pytest.mark.parametrize(("count", "alpha"), [(6, 0.01), (12, 0.001), (40, 0.05)])
def test_evidence_at_the_ends_is_one_over_alpha(count: int, alpha: float) -> None:
    """At both ends of the interval the Bayes factor against that mean is exactly 1 / alpha."""
    samples = np.random.default_rng(count).normal(0.3, 1.0, count)
    interval = confidence_sequence(list(samples), alpha=alpha)
    for end in (interval.low, interval.high):
        assert _log_bayes_factor(samples - end) == pytest.approx(-math.log(alpha), abs=1e-3)


def test_miscoverage_stays_below_alpha_at_every_look() -> None:
    """Sequences that are looked at after every sample exclude the true mean in at most alpha of the cases."""
    rng, alpha, sequences = np.random.default_rng(7), 0.1, 2000
    missed = 0
    for samples in rng.normal(0.5, 2.0, size=(sequences, 25)).tolist():
        looks = (confidence_sequence(samples[:count], alpha=alpha) for count in range(2, len(samples) + 1))
        missed += any(not look.low <= 0.5 <= look.high for look in looks)
    # Three standard deviations of a rate estimated from this many sequences.
    assert missed / sequences <= alpha + 3 * math.sqrt(alpha * (1 - alpha) / sequences)


@pytest.mark.parametrize("samples", [[], [1.0], [1.0, 1.0], [1.0, 1.1]])
def test_few_samples_exclude_nothing(samples: list[float]) -> None:
    """Fewer samples than can decide give the infinite interval, even when they are all the same."""
    assert confidence_sequence(samples, alpha=0.001) == Interval(-math.inf, math.inf)


def test_interval_is_centred_on_the_mean() -> None:
    """The middle of the interval is the sample mean."""
    interval = confidence_sequence([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], alpha=0.05)
    assert (interval.low + interval.high) / 2 == pytest.approx(3.5)


def test_interval_narrows_with_samples() -> None:
    """More of the same samples leave a narrower interval."""
    samples = [0.9, 1.1] * 100
    few, many = (confidence_sequence(samples[:count], alpha=0.01) for count in (20, 200))
    assert many.high - many.low < 0.5 * (few.high - few.low)


def test_interval_widens_with_a_smaller_alpha() -> None:
    """A smaller error rate costs width."""
    samples = [0.9, 1.1] * 10
    loose, strict = (confidence_sequence(samples, alpha=alpha) for alpha in (0.1, 0.001))
    assert strict.low < loose.low < loose.high < strict.high


def test_interval_moves_with_the_samples() -> None:
    """Shifting and scaling the samples shifts and scales the interval."""
    samples = np.random.default_rng(3).normal(size=15)
    plain = confidence_sequence(list(samples), alpha=0.01)
    moved = confidence_sequence(list(10 + 3 * samples), alpha=0.01)
    assert (moved.low, moved.high) == pytest.approx((10 + 3 * plain.low, 10 + 3 * plain.high))


def test_exponential_turns_logs_into_ratios() -> None:
    """The interval of the exponential has the exponentials as ends, and infinite ones become 0 and infinity."""
    assert Interval(0.0, math.log(2)).exponential() == Interval(1.0, math.exp(math.log(2)))
    assert Interval(-math.inf, math.inf).exponential() == Interval(0.0, math.inf)


def _coin_evidence(heads: int, tosses: int) -> float:
    """(Likelihood mixed over Beta(1/2, 1/2)) / (likelihood of a fair coin), by quadrature over p = sin² of an angle."""
    angles = (np.arange(200_000) + 0.5) / 200_000 * math.pi / 2
    chances = np.sin(angles) ** 2
    return float(np.mean((2 * chances) ** heads * (2 * (1 - chances)) ** (tosses - heads)))


@pytest.mark.parametrize(("count", "alpha"), [(13, 0.001), (20, 0.001), (20, 0.05), (60, 0.001)])
def test_median_interval_excludes_what_a_fair_coin_would_hardly_show(count: int, alpha: float) -> None:
    """The ends are the first samples, counted from outside, on which the evidence falls short of 1 / alpha."""
    interval = median_confidence_sequence(list(range(count)), alpha=alpha)
    excluded = int(interval.low) + 1
    assert interval.high == count - excluded
    assert _coin_evidence(excluded - 1, count) >= 1 / alpha > _coin_evidence(excluded, count)


@pytest.mark.parametrize(("count", "is_finite"), [(0, False), (1, False), (12, False), (13, True)])
def test_median_needs_thirteen_samples_at_one_in_a_thousand(count: int, is_finite: bool) -> None:
    """Twelve samples exclude nothing at alpha 0.001, however alike they are; thirteen do."""
    interval = median_confidence_sequence([1.0] * count, alpha=0.001)
    assert math.isfinite(interval.low) == math.isfinite(interval.high) == is_finite


def test_median_interval_takes_samples_in_any_order() -> None:
    """The interval depends on the samples alone."""
    samples = np.random.default_rng(3).normal(10, 1, 30)
    assert median_confidence_sequence(list(samples), alpha=0.01) == median_confidence_sequence(
        sorted(samples), alpha=0.01
    )


@pytest.mark.parametrize("skewed", [False, True])
def test_median_is_missed_at_most_as_often_as_alpha_at_every_look(skewed: bool) -> None:
    """Sequences looked at after every sample exclude the true median in at most alpha of the cases, skewed ones too."""
    rng, alpha, sequences = np.random.default_rng(11), 0.1, 2000
    drawn = rng.lognormal(0.0, 1.5, size=(sequences, 40)) if skewed else rng.normal(1.0, 0.3, size=(sequences, 40))
    missed = 0
    for samples in drawn.tolist():
        looks = (median_confidence_sequence(samples[:count], alpha=alpha) for count in range(1, len(samples) + 1))
        missed += any(not look.low <= 1.0 <= look.high for look in looks)
    assert missed / sequences <= alpha + 3 * math.sqrt(alpha * (1 - alpha) / sequences)


def _log_two_group_factor(samples: np.ndarray, reference: np.ndarray) -> float:
    """Log of the Bayes factor of a difference ~ N(0, sd² / precision) against 0, by the closed form of Gönen et al."""
    count, former = len(samples), len(reference)
    effective, freedom = count * former / (count + former), count + former - 2
    pooled = (((samples - samples.mean()) ** 2).sum() + ((reference - reference.mean()) ** 2).sum()) / freedom
    t = (samples.mean() - reference.mean()) / math.sqrt(pooled / effective)
    variance = 1 + effective / DIFFERENCE_PRECISION
    likelihoods = stats.t.logpdf(t / math.sqrt(variance), freedom) - 0.5 * math.log(variance)
    return float(likelihoods - stats.t.logpdf(t, freedom))


@pytest.mark.parametrize(("count", "former"), [(5, 60), (20, 20), (60, 8)])
def test_evidence_of_a_difference_at_the_ends_is_one_over_alpha(count: int, former: int) -> None:
    """At both ends the two-sample Bayes factor is 1 / alpha, where both groups scatter alike."""
    rng = np.random.default_rng(count)
    samples, reference = (_standardized(rng.normal(size=size)) for size in (count, former))
    interval = difference_interval(moments(samples + 0.2), moments(reference), alpha=0.001)
    # Groups of one variance each, so that the largest of the deviations is the pooled one.
    for end in (interval.low, interval.high):
        assert _log_two_group_factor(samples + 0.2 - end, reference) == pytest.approx(-math.log(0.001), abs=1e-6)


def _standardized(samples: np.ndarray) -> np.ndarray:
    return np.asarray((samples - samples.mean()) / samples.std(ddof=1))


def test_difference_is_missed_at_most_as_often_as_alpha_at_every_look() -> None:
    """Runs that are looked at after every sample exclude the true difference in at most alpha of the cases."""
    rng, alpha, sequences = np.random.default_rng(17), 0.1, 600
    missed = 0
    for reference, samples in zip(
        rng.normal(0, 1, (sequences, 12)).tolist(), rng.normal(0.5, 1, (sequences, 30)).tolist(), strict=True
    ):
        former, found, is_missed = moments(reference), Moments(), False
        for sample in samples:
            found.add(sample)
            look = difference_interval(found, former, alpha=alpha)
            is_missed |= not look.low <= 0.5 <= look.high
        missed += is_missed
    assert missed / sequences <= alpha + 3 * math.sqrt(alpha * (1 - alpha) / sequences)


def test_moments_agree_with_numpy() -> None:
    """Mean, variance and squared differences of neighbours are numpy's."""
    samples = np.random.default_rng(5).normal(3, 2, 50)
    found = moments(samples.tolist())
    assert (found.mean, found.variance) == pytest.approx((samples.mean(), samples.var(ddof=1)))
    assert found.steps == pytest.approx((np.diff(samples) ** 2).sum())


@pytest.mark.parametrize("length", [10, 40])
def test_correlation_of_noise_is_about_standard_normal(length: int) -> None:
    """Over many series of noise the statistic has mean 0 and deviation 1, and exceeds 1.645 in about one of twenty."""
    drawn = np.random.default_rng(3).normal(size=(2000, length)).tolist()
    found = np.array([correlation_z(moments(series), Moments()) for series in drawn])
    assert abs(found.mean()) < 0.1
    assert found.std() == pytest.approx(1, abs=0.1)
    assert 0.02 < (found > 1.645).mean() < 0.08


def test_autocorrelation_is_the_textbooks() -> None:
    """It is the sum of products of neighbours over the sum of squares, plus what noise of that length lacks."""
    samples = np.array([0.0, 1.0, 2.0, 1.5, 3.0, 2.5])
    apart = samples - samples.mean()
    expected = (apart[1:] * apart[:-1]).sum() / (apart**2).sum() + 1 / len(samples)
    assert autocorrelation(moments(samples.tolist()), Moments()) == pytest.approx(expected)


def test_widened_keeps_the_centre() -> None:
    """An interval is widened around its middle; an infinite one stays infinite."""
    assert Interval(1.0, 3.0).widened(2) == Interval(0.0, 4.0)
    assert Interval(-math.inf, math.inf).widened(2) == Interval(-math.inf, math.inf)


@pytest.mark.parametrize(("count", "former"), [(0, 0), (0, 9), (9, 0), (1, 1)])
def test_groups_without_scatter_to_judge_exclude_nothing(count: int, former: int) -> None:
    """An empty group, or two of one sample each, leave every difference possible."""
    groups = [moments(float(number) for number in range(size)) for size in (count, former)]
    assert difference_interval(groups[0], groups[1], alpha=0.001) == Interval(-math.inf, math.inf)
