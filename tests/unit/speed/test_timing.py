"""Paired latencies with a fake clock: the order, the end, and what a spike may do."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain, cycle, repeat

import numpy as np
import pytest

from nearlossless.cases.case import Sampling
from nearlossless.speed.latencies import PairedLatencies, is_latency, log_ratios
from nearlossless.speed.speedup import judge_latencies, judge_pairs
from nearlossless.speed.timing import (
    LONGEST_WARMUP,
    WARMUP_CALLS,
    measure_alone,
    measure_pairs,
    synchronizer,
    timed,
    warm_up,
)
from nearlossless.verdicts import Check, Outcome

SAMPLING = Sampling(alpha=0.001, min_pairs=5, max_pairs=12, budget_s=1000.0)
ALONE = Sampling(alpha=0.001, min_pairs=5, max_pairs=40, budget_s=1000.0)


@dataclass
class Bench:
    """A clock that moves only while a callable runs, and the order in which they ran."""

    now: float = 100.0
    calls: list[str] = field(default_factory=list)

    def clock(self) -> float:
        """The fake time."""
        return self.now

    def callable_of(self, name: str, seconds: Iterator[float]) -> Callable[[], None]:
        """Something that takes these seconds, one after the other."""

        def run() -> None:
            self.calls.append(name)
            self.now += next(seconds)

        return run

    def measure(
        self,
        baseline: Iterator[float],
        compiled: Iterator[float],
        sampling: Sampling,
        min_speedup: float | None,
        max_latency_s: float | None = None,
    ) -> PairedLatencies:
        """Measure two callables that take these seconds."""
        return measure_pairs(
            self.callable_of("A", baseline),
            self.callable_of("B", compiled),
            sampling=sampling,
            min_speedup=min_speedup,
            max_latency_s=max_latency_s,
            synchronize=lambda: None,
            clock=self.clock,
        )

    def measure_alone(
        self, compiled: Iterator[float], sampling: Sampling, max_latency_s: float | None
    ) -> PairedLatencies:
        """Measure one callable that takes these seconds."""
        return measure_alone(
            self.callable_of("B", compiled),
            sampling=sampling,
            max_latency_s=max_latency_s,
            synchronize=lambda: None,
            clock=self.clock,
        )


def undecided() -> tuple[Iterator[float], Iterator[float]]:
    """Latencies whose ratio lies on both sides of 1 in turn, after the warm-up."""
    return chain(repeat(1.0, WARMUP_CALLS), cycle([1.1, 0.9])), repeat(1.0)


def calls_of(seconds: list[float]) -> PairedLatencies:
    """Calls of a compiled pipeline that has no baseline beside it."""
    return PairedLatencies([], seconds)


def noisy_pairs(speedup: float, count: int) -> PairedLatencies:
    """Pairs of this speedup that repeat to half a percent."""
    noise = np.random.default_rng(1).normal(0, 0.005, size=(2, count))
    return PairedLatencies(list(np.exp(noise[0])), list(np.exp(noise[1]) / speedup))


def test_timed_synchronizes_before_and_after() -> None:
    """The clock is read with the device's queue empty on both sides of the call."""
    order: list[str] = []
    ticks = iter([1.0, 3.5])

    def clock() -> float:
        order.append("clock")
        return next(ticks)

    seconds = timed(lambda: order.append("call"), clock=clock, synchronize=lambda: order.append("wait"))
    assert seconds == 2.5
    assert order == ["wait", "clock", "call", "wait", "clock"]


def test_cpu_needs_no_synchronizing() -> None:
    """On the CPU there is no queue to wait for."""
    synchronizer("cpu")()


def test_pairs_run_in_turn() -> None:
    """After the warm-up the two run A B, B A, A B and so on."""
    bench = Bench()
    bench.measure(*undecided(), SAMPLING, 1.0)
    assert "".join(bench.calls[2 * WARMUP_CALLS :][:12]) == "ABBAABBAABBA"


def test_warm_up_is_not_recorded() -> None:
    """Calls of the warm-up appear in no sample."""
    bench = Bench()
    slow_start = chain(repeat(50.0, WARMUP_CALLS), repeat(1.0))
    pairs = bench.measure(slow_start, repeat(0.5), SAMPLING, 1.5)
    assert max(pairs.baseline_s) == pytest.approx(1.0)


def test_latencies_go_to_the_side_that_took_them() -> None:
    """In pairs that run in reverse order, too, each latency belongs to its own callable."""
    pairs = Bench().measure(repeat(3.0), repeat(2.0), SAMPLING, 1.5)
    assert pairs.baseline_s == pytest.approx([3.0] * len(pairs.baseline_s))
    assert pairs.compiled_s == pytest.approx([2.0] * len(pairs.compiled_s))


@pytest.mark.parametrize(("compiled_s", "outcome"), [(0.5, Outcome.PASS), (0.9, Outcome.REGRESSION)])
def test_sampling_stops_once_decided(compiled_s: float, outcome: Outcome) -> None:
    """A clear case, good or bad, takes the smallest number of pairs."""
    pairs = Bench().measure(repeat(1.0), repeat(compiled_s), SAMPLING, 1.5)
    assert len(pairs.baseline_s) == SAMPLING.min_pairs
    assert judge_pairs(pairs, sampling=SAMPLING, min_speedup=1.5).outcome is outcome


def test_sampling_ends_at_the_largest_number_of_pairs() -> None:
    """What stays undecided ends at max_pairs as INCONCLUSIVE."""
    pairs = Bench().measure(*undecided(), SAMPLING, 1.0)
    assert len(pairs.baseline_s) == len(pairs.compiled_s) == SAMPLING.max_pairs
    assert judge_pairs(pairs, sampling=SAMPLING, min_speedup=1.0).outcome is Outcome.INCONCLUSIVE


def test_sampling_ends_with_the_budget() -> None:
    """What stays undecided ends with the first pair beyond the budget, as INCONCLUSIVE."""
    sampling = SAMPLING.model_copy(update={"budget_s": 13.0})
    pairs = Bench().measure(*undecided(), sampling, 1.0)
    assert len(pairs.baseline_s) == 7
    assert judge_pairs(pairs, sampling=sampling, min_speedup=1.0).outcome is Outcome.INCONCLUSIVE


def test_budget_does_not_cut_the_smallest_number_of_pairs() -> None:
    """A budget that is spent at once still leaves the smallest number of pairs to show."""
    sampling = SAMPLING.model_copy(update={"budget_s": 0.001})
    pairs = Bench().measure(*undecided(), sampling, 1.0)
    assert len(pairs.baseline_s) == sampling.min_pairs


def test_no_threshold_takes_the_smallest_number_of_pairs() -> None:
    """Without a floor there is nothing to decide: the figure is shown, and it is not green."""
    pairs = Bench().measure(*undecided(), SAMPLING, None)
    assert len(pairs.baseline_s) == SAMPLING.min_pairs
    assert judge_pairs(pairs, sampling=SAMPLING, min_speedup=None).outcome is Outcome.NOT_COMPARABLE


def test_a_clock_that_stands_still_is_not_comparable() -> None:
    """Latencies of zero end the sampling as NOT_COMPARABLE instead of dividing by them."""
    pairs = Bench().measure(repeat(0.0), repeat(0.0), SAMPLING, 1.0)
    assert len(pairs.baseline_s) == SAMPLING.min_pairs
    assert judge_pairs(pairs, sampling=SAMPLING, min_speedup=1.0).outcome is Outcome.NOT_COMPARABLE


def test_progress_is_told_every_pair() -> None:
    """The caller hears of every pair, with what is known so far."""
    told: list[tuple[int, Check]] = []
    bench = Bench()
    measure_pairs(
        bench.callable_of("A", repeat(1.0)),
        bench.callable_of("B", repeat(0.5)),
        sampling=SAMPLING,
        min_speedup=1.5,
        synchronize=lambda: None,
        clock=bench.clock,
        progress=lambda count, check: told.append((count, check)),
    )
    assert [count for count, _ in told] == [1, 2, 3, 4, 5]
    assert told[-1][1].outcome is Outcome.PASS


def test_log_ratio_is_positive_when_compiled_is_faster() -> None:
    """The ratio is baseline over compiled."""
    assert log_ratios(PairedLatencies([2.0, 1.0], [1.0, 2.0])) == pytest.approx([math.log(2), -math.log(2)])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 0.0, -1.0])
@pytest.mark.parametrize("side", ["baseline_s", "compiled_s"])
def test_impossible_latency_is_never_green(side: str, value: float) -> None:
    """One latency that no clock can have measured makes the whole judgement NOT_COMPARABLE."""
    pairs = noisy_pairs(2.0, 20)
    getattr(pairs, side)[7] = value
    assert judge_pairs(pairs, sampling=SAMPLING, min_speedup=1.5).outcome is Outcome.NOT_COMPARABLE


def test_too_few_pairs_are_not_comparable() -> None:
    """One pair below the smallest number decides nothing, however clear it looks, and the number is named."""
    pairs = noisy_pairs(3.0, SAMPLING.min_pairs - 1)
    check = judge_pairs(pairs, sampling=SAMPLING, min_speedup=1.5)
    assert (check.outcome, check.note) == (Outcome.NOT_COMPARABLE, "4 samples, at least 5 needed")


def test_no_pairs_are_not_comparable() -> None:
    """Without a single pair there is an answer, and it is not green."""
    assert judge_pairs(PairedLatencies(), sampling=SAMPLING, min_speedup=1.5).outcome is Outcome.NOT_COMPARABLE


@pytest.mark.parametrize(("speedup", "side"), [(2.0, "compiled_s"), (2.0, "baseline_s"), (1.2, "baseline_s")])
@pytest.mark.parametrize("position", [0, 10, 19])
def test_one_spike_does_not_flip_a_decision(speedup: float, side: str, position: int) -> None:
    """One call that took three times as long leaves a clear verdict what it was, wherever it falls."""
    pairs = noisy_pairs(speedup, 20)
    before = judge_pairs(pairs, sampling=SAMPLING, min_speedup=1.5)
    getattr(pairs, side)[position] *= 3
    after = judge_pairs(pairs, sampling=SAMPLING, min_speedup=1.5)
    assert before.outcome is (Outcome.PASS if speedup > 1.5 else Outcome.REGRESSION)
    assert after.outcome is before.outcome


@pytest.mark.parametrize("position", range(10))
def test_one_early_spike_never_turns_a_regression_green(position: int) -> None:
    """With few pairs a spike of the baseline may delay a regression, but never make it pass."""
    pairs = noisy_pairs(1.2, 10)
    pairs.baseline_s[position] *= 3
    assert judge_pairs(pairs, sampling=SAMPLING, min_speedup=1.5).outcome is not Outcome.PASS


def test_shown_speedup_is_the_median_ratio() -> None:
    """The figure that is shown is robust against single calls."""
    pairs = PairedLatencies([2.0, 2.0, 2.0, 2.0, 20.0], [1.0] * 5)
    assert judge_pairs(pairs, sampling=SAMPLING, min_speedup=1.5).obtained == pytest.approx(2.0)


@pytest.mark.parametrize(("speedup", "outcome"), [(1.03, Outcome.PASS), (0.97, Outcome.REGRESSION)])
def test_small_difference_is_told_with_enough_pairs(speedup: float, outcome: Outcome) -> None:
    """At a noise of half a percent, sixty pairs tell three percent from nothing, in both directions."""
    check = judge_pairs(noisy_pairs(speedup, 60), sampling=Sampling(), min_speedup=1.0)
    assert check.outcome is outcome


@pytest.mark.parametrize(("pairs", "outcome"), [(10, Outcome.INCONCLUSIVE), (11, Outcome.REGRESSION)])
def test_pairs_beyond_the_band_need_as_many_as_a_coin_would(pairs: int, outcome: Outcome) -> None:
    """Wild pairs that all lie beyond the band decide only after so many that chance would not put them there."""
    ratios = [0.2 if number % 2 else 0.9 for number in range(pairs)]
    latencies = PairedLatencies([1.0] * pairs, [1 / ratio for ratio in ratios])
    assert judge_pairs(latencies, sampling=Sampling(), min_speedup=1.0).outcome is outcome


@pytest.mark.parametrize(("every", "outcome"), [(2, Outcome.REGRESSION), (8, Outcome.INCONCLUSIVE)])
def test_stalls_that_come_again_are_no_pass(every: int, outcome: Outcome) -> None:
    """A pipeline that is as fast as before but stalls tenfold again and again does not pass by its median."""
    compiled = [10.0 if number % every == 0 else 1.0 for number in range(48)]
    noise = [1 + 0.003 * math.sin(number) for number in range(48)]
    latencies = PairedLatencies(noise, compiled)
    assert judge_pairs(latencies, sampling=Sampling(), min_speedup=0.8).outcome is outcome


def test_one_stall_is_forgiven() -> None:
    """A single call that takes ten times as long does not keep headroom from passing."""
    compiled = [10.0, *[1 + 0.003 * math.cos(number) for number in range(23)]]
    latencies = PairedLatencies([1.0] * 24, compiled)
    assert judge_pairs(latencies, sampling=Sampling(), min_speedup=0.8).outcome is Outcome.PASS


@pytest.mark.parametrize(("compiled_s", "outcome"), [(0.9, Outcome.PASS), (1.1, Outcome.REGRESSION)])
def test_alone_is_decided_after_as_few_calls_as_can_decide(compiled_s: float, outcome: Outcome) -> None:
    """A clear median takes thirteen calls, which is what an error rate of one in a thousand needs."""
    alone = Bench().measure_alone(repeat(compiled_s), ALONE, 1.0)
    assert (len(alone.compiled_s), alone.baseline_s) == (13, [])
    assert judge_latencies(alone, sampling=ALONE, max_latency_s=1.0).outcome is outcome


def test_alone_warm_up_is_not_recorded() -> None:
    """Calls of the warm-up appear in no sample."""
    alone = Bench().measure_alone(chain(repeat(50.0, WARMUP_CALLS), repeat(0.5)), ALONE, 1.0)
    assert max(alone.compiled_s) == pytest.approx(0.5)


def test_alone_ends_at_the_largest_number_of_calls() -> None:
    """A median on the ceiling stays undecided until max_pairs, and is INCONCLUSIVE."""
    alone = Bench().measure_alone(cycle([0.9, 1.1]), ALONE, 1.0)
    assert len(alone.compiled_s) == ALONE.max_pairs
    assert judge_latencies(alone, sampling=ALONE, max_latency_s=1.0).outcome is Outcome.INCONCLUSIVE


def test_alone_ends_with_the_budget() -> None:
    """What stays undecided ends with the first call beyond the budget."""
    sampling = ALONE.model_copy(update={"budget_s": 6.5})
    assert len(Bench().measure_alone(cycle([0.9, 1.1]), sampling, 1.0).compiled_s) == 7


def test_alone_without_ceiling_takes_the_smallest_number_of_calls() -> None:
    """Without a ceiling the median is measured and not green."""
    alone = Bench().measure_alone(repeat(0.5), ALONE, None)
    assert len(alone.compiled_s) == ALONE.min_pairs
    check = judge_latencies(alone, sampling=ALONE, max_latency_s=None)
    assert check.outcome is Outcome.NOT_COMPARABLE
    assert check.obtained == pytest.approx(0.5)


@pytest.mark.parametrize(("calls", "outcome"), [(12, Outcome.INCONCLUSIVE), (13, Outcome.PASS)])
def test_latency_of_few_calls_is_inconclusive(calls: int, outcome: Outcome) -> None:
    """Calls that are all fast enough decide only once a fair coin would hardly fall so."""
    assert judge_latencies(calls_of([0.5] * calls), sampling=ALONE, max_latency_s=1.0).outcome is outcome


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 0.0, -1.0])
def test_impossible_latency_alone_is_never_green(value: float) -> None:
    """One latency that no clock can have measured makes the median NOT_COMPARABLE."""
    check = judge_latencies(calls_of([*[0.5] * 20, value]), sampling=ALONE, max_latency_s=1.0)
    assert check.outcome is Outcome.NOT_COMPARABLE


def test_no_latency_is_not_comparable() -> None:
    """Without a single call there is an answer, and it is not green."""
    assert judge_latencies(calls_of([]), sampling=ALONE, max_latency_s=1.0).outcome is Outcome.NOT_COMPARABLE


def test_one_stall_does_not_break_a_latency_ceiling() -> None:
    """The median forgives a single call that took a hundred times as long."""
    assert judge_latencies(calls_of([50.0, *[0.5] * 20]), sampling=ALONE, max_latency_s=1.0).outcome is Outcome.PASS


@dataclass
class Disturbed:
    """A watch that sets aside the pairs of these numbers."""

    numbers: set[int]
    seen: int = 0

    def before(self) -> None:
        """A pair begins."""

    def after(self) -> str | None:
        """The reason, for the pairs that have one."""
        self.seen += 1
        return "thermal slowdown" if self.seen - 1 in self.numbers else None


def measured_under(watch: Disturbed, baseline: Iterator[float], sampling: Sampling = SAMPLING) -> PairedLatencies:
    """Pairs of a compiled pipeline that takes a second, watched."""
    bench = Bench()
    return measure_pairs(
        bench.callable_of("A", baseline),
        bench.callable_of("B", repeat(1.0)),
        sampling=sampling,
        min_speedup=1.5,
        watch=watch,
        synchronize=lambda: None,
        clock=bench.clock,
    )


def test_pair_set_aside_is_kept_counted_and_not_judged() -> None:
    """Two pairs that were throttled to a regression change nothing but the note, and are replaced by others."""
    baseline = chain(repeat(2.0, WARMUP_CALLS + 1), [0.1, 0.1], repeat(2.0))
    pairs = measured_under(Disturbed({1, 2}), baseline)
    assert len(pairs.baseline_s) == SAMPLING.min_pairs + 2
    assert pairs.judged().baseline_s == pytest.approx([2.0] * SAMPLING.min_pairs)
    check = judge_pairs(pairs, sampling=SAMPLING, min_speedup=1.5)
    assert check.outcome is Outcome.PASS
    assert "2 of 7 set aside: thermal slowdown (2)" in check.note


@pytest.mark.parametrize(("disturbed", "outcome"), [(6, Outcome.PASS), (7, Outcome.INCONCLUSIVE)])
def test_more_than_half_set_aside_is_inconclusive(disturbed: int, outcome: Outcome) -> None:
    """As many disturbed pairs as sound ones may be left out, and one more leaves the verdict open, with the reason."""
    reasons: list[str | None] = [None] * 6
    reasons += ["another process on the GPU"] * disturbed
    pairs = PairedLatencies([2.0] * len(reasons), [1.0] * len(reasons), reasons)
    check = judge_pairs(pairs, sampling=SAMPLING, min_speedup=1.5)
    assert check.outcome is outcome
    assert f"{disturbed} of {len(reasons)} set aside: another process on the GPU ({disturbed})" in check.note
    alone = judge_latencies(PairedLatencies([], [0.5] * len(reasons), reasons), sampling=ALONE, max_latency_s=1.0)
    assert alone.outcome is Outcome.INCONCLUSIVE


def test_machine_that_is_always_disturbed_ends_the_sampling() -> None:
    """Where every pair is set aside, twice the largest number of pairs is the end, without a verdict."""
    pairs = measured_under(Disturbed(set(range(1000))), repeat(2.0))
    assert len(pairs.baseline_s) == 2 * SAMPLING.max_pairs
    assert judge_pairs(pairs, sampling=SAMPLING, min_speedup=1.5).outcome is Outcome.INCONCLUSIVE


def test_disturbed_calls_alone_are_not_judged() -> None:
    """Without a baseline, too, calls that were disturbed are replaced and left out."""
    bench = Bench()
    alone = measure_alone(
        bench.callable_of("B", chain(repeat(0.5, WARMUP_CALLS), [9.0, 9.0], repeat(0.5))),
        sampling=ALONE,
        max_latency_s=1.0,
        watch=Disturbed({0, 1}),
        synchronize=lambda: None,
        clock=bench.clock,
    )
    assert len(alone.compiled_s) == 15
    assert max(alone.judged().compiled_s) == pytest.approx(0.5)


@pytest.mark.parametrize("pairs", [PairedLatencies([1.0] * 7, [1.0] * 8), PairedLatencies([1.0], [1.0], [None, None])])
def test_samples_that_do_not_belong_together_are_not_comparable(pairs: PairedLatencies) -> None:
    """Lists of different lengths are no pairs."""
    assert judge_pairs(pairs, sampling=SAMPLING, min_speedup=0.5).outcome is Outcome.NOT_COMPARABLE


@pytest.mark.parametrize(
    ("seconds", "is_one"),
    [(1e-9, True), (9e-10, False), (9e8, True), (1e9, False), (0.0, False), (-1.0, False), (math.inf, False)],
)
def test_latency_is_what_a_clock_can_measure(seconds: float, is_one: bool) -> None:
    """From a nanosecond to thirty years: of two such the ratio is a number with a logarithm."""
    assert is_latency(seconds) is is_one


def test_clock_that_goes_backwards_is_named() -> None:
    """Negative seconds are no measurement, and the check says so."""
    pairs = Bench().measure(repeat(-1.0), repeat(-0.5), SAMPLING, 1.5)
    check = judge_pairs(pairs, sampling=SAMPLING, min_speedup=1.5)
    assert (check.outcome, "is no measurement" in check.note) == (Outcome.NOT_COMPARABLE, True)


@pytest.mark.parametrize(
    ("seconds", "calls"),
    [
        (repeat(1.0), WARMUP_CALLS),
        (chain([50.0, 5.0], repeat(1.0)), 5),
        (chain([50.0, 50.0, 50.0, 9.0, 1.0], repeat(1.0)), WARMUP_CALLS),
        (iter([1.0, 0.995, 0.991, 0.5]), WARMUP_CALLS),
        (iter([1.0, 0.99, 0.98, 0.98, 0.98]), 5),
        ((0.9**number for number in range(100)), LONGEST_WARMUP),
    ],
    ids=["steady", "falls", "steps after the end", "less than a percent", "more than a percent", "falls for ever"],
)
def test_warm_up_ends_when_calls_become_no_faster(seconds: Iterator[float], calls: int) -> None:
    """It goes on while the last two calls beat all before by more than a percent, within its bound."""
    bench = Bench()
    found = warm_up([bench.callable_of("A", seconds)], clock=bench.clock, synchronize=lambda: None)
    assert found == len(bench.calls) == calls


def test_warm_up_waits_for_the_slower_side() -> None:
    """Both sides are called until neither becomes faster."""
    bench = Bench()
    falling = chain([9.0, 8.0, 7.0, 6.0], repeat(5.0))
    sides = [bench.callable_of("A", repeat(1.0)), bench.callable_of("B", falling)]
    assert warm_up(sides, clock=bench.clock, synchronize=lambda: None) == 7
    assert "".join(bench.calls) == "AB" * 7


def test_a_red_answer_ends_the_sampling() -> None:
    """A regression of the speedup needs no decision about the latency beside it."""
    pairs = Bench().measure(repeat(1.0), repeat(0.9), ALONE, 1.5, max_latency_s=0.9)
    assert len(pairs.baseline_s) == ALONE.min_pairs


def test_pairs_go_on_until_the_latency_is_decided() -> None:
    """With a ceiling beside the floor, five pairs decide the speedup and thirteen both."""
    pairs = Bench().measure(repeat(1.0), repeat(0.5), ALONE, 1.5, max_latency_s=0.6)
    assert len(pairs.baseline_s) == len(pairs.compiled_s) == 13
