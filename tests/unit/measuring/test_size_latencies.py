"""Latencies of one size: one pair where it is plain that the recipe is faster, pairs where it is not."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, repeat

import pytest

from nearlossless.cases.case import Sampling
from nearlossless.measuring.size_latencies import MOST_PAIRS, PLAINLY_FASTER, size_latencies
from nearlossless.speed.latencies import PairedLatencies

SAMPLING = Sampling()


@dataclass
class Watching:
    """A watch that says these, pair after pair."""

    reasons: Iterator[str | None]

    def before(self) -> None:
        """Nothing to note."""

    def after(self) -> str | None:
        """Why the pair is set aside."""
        return next(self.reasons)


def measured(baseline_s: float, min_speedup: float | None, reasons: Sequence[str | None] = ()) -> PairedLatencies:
    """Latencies of a recipe that takes a second beside a baseline that takes this long, by a clock that they move."""
    now = 0.0

    def call(seconds: float) -> None:
        nonlocal now
        now += seconds

    return size_latencies(
        lambda: call(baseline_s),
        lambda: call(1.0),
        sampling=SAMPLING,
        min_speedup=min_speedup,
        watch=Watching(chain(reasons, repeat(None))),
        synchronize=lambda: None,
        clock=lambda: now,
    )


@pytest.mark.parametrize("floor", [0.9, 1.0, 1.5])
def test_one_pair_settles_what_is_plain(floor: float) -> None:
    """At the floor's plain distance one pair is taken, just below it as many as the verdict needs."""
    plain = measured(PLAINLY_FASTER * floor * 1.001, floor)
    assert (len(plain.baseline_s), len(plain.compiled_s), plain.set_aside) == (1, 1, [None])
    assert SAMPLING.min_pairs <= len(measured(PLAINLY_FASTER * floor * 0.999, floor).baseline_s) <= MOST_PAIRS


def test_slower_size_is_measured_in_pairs() -> None:
    """What may be a regression never rests on one pair."""
    assert len(measured(0.9, 1.0).baseline_s) >= SAMPLING.min_pairs


def test_without_a_floor_one_pair_is_kept() -> None:
    """Where nothing is judged, nothing more is measured than the report shows."""
    assert len(measured(0.5, None).baseline_s) == 1


def test_disturbed_pair_settles_nothing() -> None:
    """A pair that the watch sets aside is no evidence: pairs follow."""
    assert len(measured(2.0, 1.0, ["throttled"]).baseline_s) >= SAMPLING.min_pairs
