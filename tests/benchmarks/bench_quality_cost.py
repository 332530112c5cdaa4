"""
What the quality gate itself costs: its scores, its step parity and replay, its memory over many pictures.

Writes `docs/benchmarks/quality-cost.md` and `.json`. Run by `tox run -e bench-quality-cost`; exit code 1 when a
promise is missed.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch
from tests.benchmarks.cost.memory import measure_memory
from tests.benchmarks.cost.parity import measure_parity_cost
from tests.benchmarks.cost.quality_page import missed, render
from tests.benchmarks.cost.scores import measure_scores

from nearlossless.atomic import write_text
from nearlossless.environment import cpu_model

FOLDER = Path(__file__).parents[2] / "docs" / "benchmarks"


def main() -> int:
    """Measure, write the page, and tell which promises are missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9, help="of scores, and of step parity")
    parser.add_argument("--processes", type=int, default=5, help="for each number of pictures whose memory is measured")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the page goes")
    options = parser.parse_args()
    found: dict[str, Any] = {"cpu": cpu_model(), "threads": torch.get_num_threads(), "torch": torch.__version__}
    found["scores"] = measure_scores(options.rounds)
    found["parity"] = measure_parity_cost(options.rounds)
    found["memory"] = measure_memory(options.processes)
    found["missed"] = missed(found)
    options.folder.mkdir(parents=True, exist_ok=True)
    write_text(options.folder / "quality-cost.json", json.dumps(found, indent=1) + "\n")
    write_text(options.folder / "quality-cost.md", render(found))
    sys.stdout.write(render(found))
    return 1 if found["missed"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
