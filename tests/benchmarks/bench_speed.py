"""
Is the speedup gate to be trusted? False alarms and power on simulated latencies, beside the rules of others.

Writes `docs/benchmarks/speed.md` and `.json`. Run by `tox run -e bench-speed`; exit code 1 when a promise is missed.
"""

import argparse
import json
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from tests.benchmarks.speed.page import render
from tests.benchmarks.speed.simulations import missed, tasks

from nearlossless.atomic import write_text
from nearlossless.verdicts import Outcome

FOLDER = Path(__file__).parents[2] / "docs" / "benchmarks"
MOST_COST = 0.005  # share of the pipeline's time that instrumentation may take


def simulate(gates: int, processes: int) -> dict[str, list[dict[str, Any]]]:
    """All tables, a task a process."""
    tables: dict[str, list[dict[str, Any]]] = {}
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        waiting = [(table, pool.submit(function, *args, **kwargs)) for table, function, args, kwargs in tasks(gates)]
        for table, future in waiting:
            tables.setdefault(table, []).append(future.result())
            sys.stderr.write(f"{table}: {tables[table][-1]['machine']}\n")
    return tables


def missed_live(live: dict[str, Any]) -> list[str]:
    """Promises that the live miniature breaks: a wrong verdict, or instrumentation that costs too much."""
    unchanged, slower = live["rows"]
    wrong = [f"live, {unchanged['run']}: {unchanged['check']}"] if unchanged["outcome"] == Outcome.REGRESSION else []
    if slower["outcome"] != Outcome.REGRESSION:
        wrong.append(f"live, {slower['run']}: {slower['check']}")
    if live["cost"] > MOST_COST:
        wrong.append(f"instrumentation takes {live['cost']:.2%} of the pipeline's time")
    return wrong


def main() -> int:
    """Simulate, measure, write the page, and tell which promises are missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gates", type=int, default=10_000, help="simulated gates of each noise model")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--live", action=argparse.BooleanOptionalAction, default=True, help="the miniature, too")
    options = parser.parse_args()
    start = time.perf_counter()
    tables = simulate(options.gates, options.processes)
    found: dict[str, Any] = {"gates": options.gates, "tables": tables, "missed": missed(tables)}
    if options.live:
        from tests.benchmarks.speed.live import measure_live

        found["live"] = measure_live()
        found["missed"] += missed_live(found["live"])
    found["seconds"], found["processes"] = round(time.perf_counter() - start), options.processes
    FOLDER.mkdir(parents=True, exist_ok=True)
    write_text(FOLDER / "speed.json", json.dumps(found, indent=1) + "\n")
    write_text(FOLDER / "speed.md", render(found))
    sys.stdout.write(render(found))
    sys.stdout.write("".join(f"MISSED {promise}\n" for promise in found["missed"]))
    return 1 if found["missed"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
