"""The same gate on the live miniature: against itself, with a planted slowdown, and what watching costs."""

import time
from pathlib import Path
from typing import Any

from nearlossless.cases.case import Sampling
from nearlossless.cases.files import load_case
from nearlossless.cases.thresholds import Thresholds
from nearlossless.pipelines.drawing import draw_batch
from nearlossless.pipelines.loading import build_baseline
from nearlossless.pipelines.requests import batches
from nearlossless.record.speed import AcceptedSpeeds
from nearlossless.speed.latencies import PairedLatencies
from nearlossless.speed.quiet import watch_of
from nearlossless.speed.slowdown import Unanswerable, judge_slowdown, slowdown_questions
from nearlossless.speed.timing import measure_pairs, synchronizer

MINIATURE = Path(__file__).parents[3] / "baselines" / "miniature"
# A loaded CPU scatters by several percent: a tenth more steps stayed INCONCLUSIVE within forty pairs there.
STEPS, MORE_STEPS = 10, 14
SAMPLING = Sampling(max_pairs=40, budget_s=60.0)
THRESHOLDS = Thresholds(max_slowdown=0.03, max_latency_slowdown=0.5)


def measure_live() -> dict[str, Any]:
    """An accepted record, an unchanged run held against it, and one that takes more denoising steps."""
    case = load_case(MINIATURE)
    pipeline = build_baseline(case, "cpu")

    def drawer(steps: int) -> Any:
        generation = case.generation.model_copy(update={"steps": steps, "height": 64, "width": 64})
        return lambda: draw_batch(pipeline, generation, batches(generation)[0])

    def run(steps: int, questions: list[Any]) -> PairedLatencies:
        return measure_pairs(
            drawer(STEPS),
            drawer(steps),
            sampling=SAMPLING,
            min_speedup=None,
            questions=questions,
            watch=watch_of("cpu"),
            synchronize=synchronizer("cpu"),
        )

    record = run(STEPS, [Unanswerable()])
    accepted = AcceptedSpeeds(baseline_s=record.baseline_s, compiled_s=record.compiled_s, set_aside=record.set_aside)
    rows = []
    for name, steps in (("unchanged", STEPS), (f"{MORE_STEPS} steps instead of {STEPS}", MORE_STEPS)):
        pairs = run(steps, slowdown_questions(accepted, THRESHOLDS, SAMPLING))
        check, _ = judge_slowdown(pairs, accepted, THRESHOLDS, SAMPLING)
        rows.append({"run": name, "outcome": check.outcome, "pairs": len(pairs.baseline_s), "check": str(check)})
    return {"rows": rows, "cost": cost(record, accepted), "max_slowdown": THRESHOLDS.max_slowdown}


def cost(record: PairedLatencies, accepted: AcceptedSpeeds) -> float:
    """Share of a pair's time that watching and judging it takes."""
    watch, question = watch_of("cpu"), slowdown_questions(accepted, THRESHOLDS, SAMPLING)[0]
    start = time.perf_counter()
    for baseline_s, compiled_s in zip(record.baseline_s, record.compiled_s, strict=True):
        watch.before()
        watch.after()
        question.add(baseline_s, compiled_s)
        question.check()
    return (time.perf_counter() - start) / sum(record.baseline_s + record.compiled_s)
