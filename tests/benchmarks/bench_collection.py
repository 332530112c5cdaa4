"""
What collecting, splitting and merging take, by the number of cases: both are to grow with it and no faster.

Collects this project's gates over a folder of made-up cases, as a process of its own, and merges records of as many
subjects. Writes `docs/benchmarks/collection.md` and `.json`; run by `tox run -e bench-collection`.
"""

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from nearlossless.atomic import write_text
from nearlossless.cases.thresholds import Thresholds
from nearlossless.environment import cpu_model
from nearlossless.fields import GATES
from nearlossless.record import Record, write_record
from nearlossless.record.shard import Shard
from nearlossless.record.speed import Speeds
from nearlossless.record.subject import SubjectRecord
from nearlossless.record.verdicts import CheckRecord, VerdictRecord
from nearlossless.runs.merging import merge_reports
from nearlossless.runs.parts import SubjectPart, join_parts, write_part
from nearlossless.verdicts import at_most

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "benchmarks"
COUNTS, SHARDS = (100, 1_000, 10_000), 8
REPETITIONS = {100: 3, 1_000: 3, 10_000: 1}  # the last takes most of the time, and varies least
COLLECTED, SPLIT, MERGED, WITH_REPORTS, JOINED = (
    "collecting",
    f"collecting one of {SHARDS} shards",
    f"merging {SHARDS} shards",
    "merging with reports",
    "joining",
)
LIMIT = (1_000, 3.0)  # cases, and the seconds within which they are to be collected
CASE = """
judge = "miniature"
[model]
source = "miniature"
dtype = { cpu = "float32" }
[generation]
prompts = ["green square above orange circle on a plain yellow background"]
seeds = [20]
height = 64
width = 64
steps = 2
guidance_scale = 3.5
max_sequence_length = 16
sizes = [[64, 64]]
[thresholds]
min_speedup = 1.0
[recipes.inductor]
backend = "inductor"
touches = ["transformer"]
"""


def seconds(task: Callable[[], object], repetitions: int) -> float:
    """Median CPU seconds of repetitions, child processes included: other work on the machine changes little of them."""
    taken = []
    for _ in range(repetitions):
        before = sum(os.times()[:4])
        task()
        taken.append(sum(os.times()[:4]) - before)
    return median(taken)


def make_project(folder: Path, count: int) -> None:
    """The project's gate tests, and as many cases of one recipe."""
    shutil.copytree(ROOT / "tests" / "gate", folder / "gate", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    for number in range(count):
        case = folder / "baselines" / f"case-{number:05}"
        case.mkdir(parents=True)
        (case / "case.toml").write_text(CASE, encoding="utf-8")


def collect(folder: Path, count: int, *options: str) -> None:
    """Collect in a process of its own, start of Python included."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--collect-only", "-qq", "gate", *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    found = sum(int(line.rpartition(": ")[2]) for line in lines if line.startswith("gate/"))
    expected = 5 * (math.ceil(count / SHARDS) if options else count)
    if found != expected:
        raise RuntimeError(f"{found} gates collected, {expected} expected: {done.stdout[-1000:]}")


def merge_by_command(shards: list[Path], folder: Path) -> None:
    """Merge as a user does, start of Python, summary and page included."""
    command = [sys.executable, "-m", "nearlossless", "merge", *map(str, shards), "--report-dir", str(folder)]
    subprocess.run(command, capture_output=True, text=True, check=True)


def make_subjects(count: int) -> list[SubjectRecord]:
    """Records of as many subjects, each with five verdicts of four checks, and 40 pairs of latencies."""
    checks = [at_most(f"figure {number}", 0.123456789, 1.0, of="a prompt", note="a note") for number in range(4)]
    verdicts = [
        VerdictRecord(
            gate=gate,
            outcome="PASS",
            reason="\n".join(map(str, checks)),
            test=f"tests/gate/test_{gate}.py::test_{gate}[case-cpu-inductor]",
            checks=[CheckRecord.model_validate(asdict(check)) for check in checks],
        )
        for gate in GATES
    ]
    subject = SubjectRecord(
        case="case",
        recipe="inductor",
        backend="inductor",
        device="cpu",
        thresholds=Thresholds(min_speedup=1.2),
        verdicts=verdicts,
        speeds=Speeds(baseline_s=[0.123456789] * 40, compiled_s=[0.0987654321] * 40, set_aside=[None] * 40),
    )
    return [subject.model_copy(update={"case": f"case-{number:05}"}) for number in range(count)]


def make_shards(folder: Path, subjects: list[SubjectRecord]) -> list[Path]:
    """A report folder of each shard, without pictures."""
    folders = []
    for number in range(1, SHARDS + 1):
        record = Record(
            schema_version=1,
            nearlossless_version="0",
            started="2026-01-01T03:00:00+00:00",
            command=f"pytest --shard {number}/{SHARDS}",
            subjects=subjects[number - 1 :: SHARDS],
            shard=Shard(number=number, of=SHARDS, selection="bench"),
            exit_status=0,
        )
        folders.append(folder / f"shard-{number}")
        write_record(record, folders[-1])
    return folders


def measure_count(count: int) -> dict[str, float]:
    """Seconds of each task with so many cases."""
    with tempfile.TemporaryDirectory() as name:
        folder, subjects = Path(name), make_subjects(count)
        make_project(folder, count)
        shards = make_shards(folder / "shards", subjects)
        for rank, subject in enumerate(subjects):
            write_part(SubjectPart(id=subject.case, rank=rank, record=subject), folder / "parts")
        tasks: dict[str, Callable[[], object]] = {
            COLLECTED: lambda: collect(folder, count),
            SPLIT: lambda: collect(folder, count, "--shard", f"1/{SHARDS}"),
            MERGED: lambda: merge_reports(shards, folder / "merged"),
            WITH_REPORTS: lambda: merge_by_command(shards, folder / "with-reports"),
            JOINED: lambda: join_parts(folder / "parts"),
        }
        return {name: seconds(task, REPETITIONS[count]) for name, task in tasks.items()}


def growth(figures: dict[str, Any], task: str) -> float:
    """The exponent of the growth from a tenth of the largest number on: 1 is linear."""
    small, large = COUNTS[1], COUNTS[-1]
    return math.log(figures[str(large)][task] / figures[str(small)][task]) / math.log(large / small)


def page(figures: dict[str, Any]) -> str:
    """The figures as a table."""
    counts = [str(count) for count in COUNTS]
    tasks = {
        COLLECTED: "`pytest --collect-only`, five gates a case, start of Python included",
        SPLIT: f"the same with `--shard 1/{SHARDS}`",
        MERGED: f"{SHARDS} records with five verdicts a case, each of four checks, read, merged and written",
        WITH_REPORTS: "the same by `nearlossless merge`, start of Python, `summary.md` and `report.html` included",
        JOINED: "what workers of pytest-xdist left, one file a subject",
    }
    rows = [
        [f"{task}: {told}", *(f"{figures[count][task]:.2f} s" for count in counts), f"{growth(figures, task):.2f}"]
        for task, told in tasks.items()
    ]
    return "\n".join(
        [
            "# Collecting and merging many cases",
            "",
            f"Written by `tox run -e bench-collection` on one core of {figures['cpu']}: CPU seconds, on an",
            "idle machine the time it takes; medians of three runs, of the largest number one. The last column is the",
            f"exponent of the growth from {COUNTS[1]:,} to {COUNTS[-1]:,} cases; 1 is linear.",
            "",
            f"| | {' | '.join(f'{count:,} cases' for count in COUNTS)} | growth |",
            "| --- |" + " ---: |" * (len(COUNTS) + 1),
            *(f"| {' | '.join(row)} |" for row in rows),
            "",
        ]
    )


def main() -> None:
    """Measure and write both files; fail where 1,000 cases take too long."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where collection.md and .json go")
    options = parser.parse_args()
    figures: dict[str, Any] = {"cpu": cpu_model()} | {str(count): measure_count(count) for count in COUNTS}
    write_text(options.folder / "collection.json", json.dumps(figures, indent=1) + "\n")
    write_text(options.folder / "collection.md", page(figures))
    count, limit = LIMIT
    for task in (COLLECTED, SPLIT):
        if figures[str(count)][task] > limit:
            raise SystemExit(f"{task} took {figures[str(count)][task]:.2f} s of {count} cases, {limit} s are allowed")


if __name__ == "__main__":
    main()
