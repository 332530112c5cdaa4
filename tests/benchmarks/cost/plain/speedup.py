"""Is it faster?"""

import statistics
import time
from typing import Any

from pipelines import baseline, compiled, draw

WARM_UP, ROUNDS = 3, 10


def latency_s(pipeline: Any) -> float:
    """Median of fixed rounds after a fixed warm-up."""
    for _ in range(WARM_UP):
        draw(pipeline)
    seconds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        draw(pipeline)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def test_speedup() -> None:
    """Median against median."""
    assert latency_s(baseline()) / latency_s(compiled()) >= 0.8
