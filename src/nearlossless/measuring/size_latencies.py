"""Whether a size is slower under the recipe than without it: one pair where that is plain, else many."""

import time
from collections.abc import Callable

from nearlossless.cases.case import Sampling
from nearlossless.speed.latencies import PairedLatencies
from nearlossless.speed.quiet import Watch
from nearlossless.speed.timing import Clock, measure_pairs, timed

MOST_PAIRS, BUDGET_S = 12, 60.0  # of one size: what is slower than eager shows in a few
# Times the floor. A case has dozens of sizes, and a recipe that is slower at one of them by anything that matters does
# not seem faster by a tenth at its second call there.
PLAINLY_FASTER = 1.1


def size_latencies(
    baseline: Callable[[], object],
    compiled: Callable[[], object],
    *,
    sampling: Sampling,
    min_speedup: float | None,
    watch: Watch,
    synchronize: Callable[[], None],
    clock: Clock = time.perf_counter,
) -> PairedLatencies:
    """
    One pair, if it settles the question; otherwise pairs until one of the two is known to be the slower one.

    Args:
        baseline: Draws at this size; was called before.
        compiled: The same under the recipe; was called before.
        sampling: The case's; no more than `MOST_PAIRS` and `BUDGET_S` of it are spent here.
        min_speedup: The floor; None asks nothing, and one pair is kept.
        watch: Tells which pairs were disturbed.
        synchronize: Waits for the device.
        clock: Seconds; monotonic.
    """
    watch.before()
    baseline_s, compiled_s = (timed(call, clock=clock, synchronize=synchronize) for call in (baseline, compiled))
    aside = watch.after()
    is_plain = min_speedup is None or baseline_s >= PLAINLY_FASTER * min_speedup * compiled_s
    if aside is None and is_plain:
        return PairedLatencies([baseline_s], [compiled_s], [None])
    limits = {
        "max_pairs": max(sampling.min_pairs, min(sampling.max_pairs, MOST_PAIRS)),
        "budget_s": min(sampling.budget_s, BUDGET_S),
    }
    return measure_pairs(
        baseline,
        compiled,
        sampling=sampling.model_copy(update=limits),
        min_speedup=min_speedup,
        watch=watch,
        synchronize=synchronize,
        clock=clock,
    )
