"""
What an evaluation over a set of prompts costs, and what it catches that five pictures do not.

Writes `docs/benchmarks/evaluate.md` and `.json`; parts that are not measured now keep their former figures. Run by
`tox run -e bench-evaluate`; exit code 1 when a promise is missed.
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.benchmarks.evaluating.calibration import measure_calibration
from tests.benchmarks.evaluating.cost import computed_cost
from tests.benchmarks.evaluating.memory import measure_memory
from tests.benchmarks.evaluating.page import missed, render
from tests.benchmarks.evaluating.speed import measure_speed

from nearlossless.atomic import write_text
from nearlossless.environment import cpu_model

FOLDER = Path(__file__).parents[2] / "docs" / "benchmarks"


def main() -> int:
    """Measure, write the page, and tell which promises are missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=("calibration", "speed", "memory", "cost"), default=[])
    parser.add_argument("--prompts", type=int, default=1000, help="of the calibration")
    parser.add_argument("--orders", type=int, default=50, help="shuffles in which they are judged")
    parser.add_argument("--speed-prompts", type=int, default=30, help="of each round of the timed part")
    parser.add_argument("--rounds", type=int, default=6, help="of the timed part")
    parser.add_argument("--counts", type=int, nargs="+", default=[1000, 10_000, 100_000], help="for the memory")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the page goes")
    options = parser.parse_args()
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "calibration": lambda: measure_calibration(options.prompts, options.orders),
        "speed": lambda: measure_speed(options.speed_prompts, options.rounds),
        "memory": lambda: measure_memory(options.counts),
        "cost": lambda: computed_cost(FOLDER),
    }
    path = options.folder / "evaluate.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    for name in options.only or parts:
        found[name] = {"cpu": cpu_model(), **parts[name]()}
    found["missed"] = missed(found)
    options.folder.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(found, indent=1) + "\n")
    found = json.loads(path.read_text(encoding="utf-8"))  # with its keys as they are kept
    write_text(options.folder / "evaluate.md", render(found))
    sys.stdout.write(render(found))
    return 1 if found["missed"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
