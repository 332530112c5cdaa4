"""
This suite's wiring.

Cases lie in `baselines/`; the plugin that comes with the package turns each selected (case, device, recipe) into
a `subject` and builds, once for each:

    process_runs        baseline, cold and warm start in fresh processes (test_memory, test_startup: these run first)
    other_stack         with --against: the recipe in another environment and here, in worker processes (test_stacks)
    baseline_pipeline   the case as diffusers runs it
    compiled_pipeline   the same case under the recipe, sharing what the recipe leaves alone
    pictures            step parity, and every picture drawn by both, compared live and with the stored (test_quality)
"""

import os

pytest_plugins = ["pytester"]

# No test may need a model hub.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
