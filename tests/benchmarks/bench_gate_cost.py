"""
What the whole gate costs beside the same questions as plain pytest tests, in wall-clock seconds.

Writes `docs/benchmarks/gate-cost.md` and `.json`. Run by `tox run -e bench-gate-cost`; exit code 1 when a run is not
green, since the seconds of a run that ends early say nothing.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch
from tests.benchmarks.cost.gate_page import render, summary
from tests.benchmarks.cost.gate_runs import OURS, THEIRS, run_gates

from nearlossless.atomic import write_text
from nearlossless.environment import cpu_model

FOLDER = Path(__file__).parents[2] / "docs" / "benchmarks"


def main() -> int:
    """Run both in turn, A B B A, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=4, help="of both together, in the order A B B A")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the page goes")
    options = parser.parse_args()
    if options.runs < 2:
        parser.error("--runs: both sides run at least once")
    order = [(OURS, THEIRS, THEIRS, OURS)[number % 4] for number in range(options.runs)]
    runs = [run_gates(side) for side in order]
    found: dict[str, Any] = {"cpu": cpu_model(), "threads": torch.get_num_threads(), "torch": torch.__version__}
    found |= {"runs": runs, **summary(runs)}
    options.folder.mkdir(parents=True, exist_ok=True)
    write_text(options.folder / "gate-cost.json", json.dumps(found, indent=1) + "\n")
    write_text(options.folder / "gate-cost.md", render(found))
    sys.stdout.write(render(found))
    return 0 if found["green"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
