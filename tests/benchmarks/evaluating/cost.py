"""What thousands of prompts of a large model cost, computed from what was measured on one GPU."""

import json
from pathlib import Path
from statistics import mean
from typing import Any

from nearlossless.record import read_record

PROMPTS, GPUS = 5000, (1, 8, 64)
RECIPES = ("inductor", "inductor-fp8-t5")


def computed_cost(benchmarks: Path) -> dict[str, Any]:
    """
    Hours for all prompts on so many GPUs, each with a worker of its own.

    A worker loads the baseline, compiles the recipe beside it (cold), and draws with both at every prompt; both
    pictures are compared and scored on the CPU meanwhile counted in full. The slowest worker ends the run.
    """
    scores = json.loads((benchmarks / "quality-cost.json").read_text(encoding="utf-8"))["scores"]
    scoring_s = mean(next(row["all_scores_s"] for row in scores if row["threads"] == 1))
    found: dict[str, Any] = {"prompts": PROMPTS, "scoring_s": scoring_s, "recipes": {}}
    for recipe in RECIPES:
        (subject,) = read_record(benchmarks / "h100" / f"{recipe}.json").subjects
        baseline, cold = subject.baseline_process, subject.cold_process
        assert baseline is not None
        assert cold is not None
        baseline_s, recipe_s = mean(baseline.steady_s), mean(cold.steady_s)
        start_s = baseline.load_s + baseline.first_call_s + cold.first_call_s
        a_prompt_s = baseline_s + recipe_s + scoring_s
        found["recipes"][recipe] = {
            "baseline_s": baseline_s,
            "recipe_s": recipe_s,
            "start_s": start_s,
            "hours": {gpus: (start_s + -(-PROMPTS // gpus) * a_prompt_s) / 3600 for gpus in GPUS},
            "gpu_hours": {gpus: gpus * (start_s + -(-PROMPTS // gpus) * a_prompt_s) / 3600 for gpus in GPUS},
        }
    return found
