"""What a prefix says of a whole list: seldom wrong, and sure in time."""

from itertools import islice, pairwise
from math import comb

import numpy as np
import pytest

from nearlossless.evaluation.sampling import MeanEvidence, share_interval


def decided(values: list[float], threshold: float, *, alpha: float) -> tuple[int, str] | None:
    """After how many values of the list an answer is certain, and which."""
    evidence = MeanEvidence(threshold, -10, 10, len(values), alpha)
    for count, value in enumerate(values, 1):
        evidence.add(value)
        if evidence.is_above or evidence.is_below:
            return count, "above" if evidence.is_above else "below"
    return None


@pytest.mark.parametrize("seldom", [(0.9, 0.0, 3.0), (0.98, 0.0, 10.0), (0.5, -1.0, 1.0)])
def test_wrong_answers_are_rare_however_often_one_looks(seldom: tuple[float, float, float]) -> None:
    """Looking after each value, lists whose mean is a hair below the threshold are called above at most alpha often."""
    share, common, rare = seldom
    wrong, lists, chance = 0, 400, np.random.default_rng(5)
    for _ in range(lists):
        values = [common if chance.random() < share else rare for _ in range(200)]
        threshold = sum(values) / len(values) + 1e-6
        answer = decided(values, threshold, alpha=0.05)
        wrong += answer is not None and answer[1] == "above"
    assert wrong / lists <= 0.05


def test_identical_pictures_are_sure_in_time() -> None:
    """With no drop at all, a ceiling of 0.3 points is certain after a quarter of a thousand prompts."""
    answer = decided([0.0] * 1000, 0.3, alpha=0.001)
    assert answer is not None
    assert answer[1] == "below"
    assert 100 < answer[0] < 300


def test_few_large_drops_are_not_overlooked() -> None:
    """Hundreds of equal pictures prove nothing while the rest could lie beyond the threshold."""
    values = [0.0] * 60 + [10.0] * 40
    np.random.default_rng(1).shuffle(values)
    answer = decided(values, 1.0, alpha=0.001)
    assert answer is not None
    assert answer[1] == "above"


def test_whole_list_answers_by_its_mean() -> None:
    """At the end it is known, and before nothing is claimed that the rest could overturn for sure."""
    above, below = [1.0, -1.0, 0.3], [1.0, -1.0, -0.3]
    assert decided(above, 0.05, alpha=1e-9) == (3, "above")
    assert decided(below, 0.05, alpha=1e-9) is None or decided(below, 0.05, alpha=1e-9) == (3, "below")


def test_share_of_a_whole_list_is_exact() -> None:
    """When all are drawn, no doubt is left."""
    interval = share_interval(3, 60, 60, alpha=0.001)
    assert (interval.low, interval.high) == (0.05, 0.05)


def test_share_covers_the_truth_at_all_looks() -> None:
    """Over all prefixes of a shuffled list the interval misses the list's share in at most alpha of the lists."""
    missed, lists, chance = 0, 300, np.random.default_rng(7)
    for _ in range(lists):
        marks = [True] * 6 + [False] * 114
        chance.shuffle(marks)
        hits = 0
        for count, mark in enumerate(marks, 1):
            hits += mark
            interval = share_interval(hits, count, 120, alpha=0.1)
            if not interval.low <= 0.05 <= interval.high:
                missed += 1
                break
    assert missed / lists <= 0.1


def test_share_by_hand() -> None:
    """The excluded numbers are those that the prior-posterior ratio, written out, excludes."""
    hits, drawn, total, alpha = 2, 10, 30, 0.05

    def beta_binomial(k: int, n: int) -> float:
        chance = 1.0
        for i in range(k):
            chance *= (0.5 + i) / (1 + i)
        for i in range(n - k):
            chance *= (0.5 + i) / (1 + k + i)
        return comb(n, k) * chance

    mixture = beta_binomial(hits, drawn)
    possible = [
        marked
        for marked in range(hits, total - drawn + hits + 1)
        if mixture / (comb(marked, hits) * comb(total - marked, drawn - hits) / comb(total, drawn)) < 1 / alpha
    ]
    interval = share_interval(hits, drawn, total, alpha=alpha)
    assert (interval.low * total, interval.high * total) == pytest.approx((possible[0], possible[-1]))


def test_share_without_end_is_the_limit_of_long_lists() -> None:
    """A list a thousand times as long as the draws says what one without end says."""
    endless, long = share_interval(3, 100, None, alpha=0.01), share_interval(3, 100, 100_000, alpha=0.01)
    assert (endless.low, endless.high) == pytest.approx((long.low, long.high), rel=0.01)


def test_nothing_drawn_excludes_nothing() -> None:
    """Before the first draw any share is possible, and each clean draw makes the worst one smaller."""
    assert share_interval(0, 0, None, alpha=0.01).high == 1
    highs = [share_interval(0, drawn, None, alpha=0.01).high for drawn in islice(range(1, 2000), 0, None, 100)]
    assert all(later < former for former, later in pairwise(highs))
