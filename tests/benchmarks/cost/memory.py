"""
Peak memory of the quality gate over few and over many pictures, each run in a process of its own.

`python -m tests.benchmarks.cost.memory FOLDER PICTURES` prints the growth of one run; `--keep` plants a leak.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from tests.benchmarks.cost.parity import MINIATURE, RECIPE, SILENT, subject_of

from nearlossless.atomic import write_text
from nearlossless.cases.case import Generation
from nearlossless.cases.files import CASE_FILE
from nearlossless.gates import judge_quality
from nearlossless.measuring.pictures import measure_pictures
from nearlossless.measuring.recording import record_baseline
from nearlossless.measuring.replaying import measure_replay
from nearlossless.measuring.step_parity import measure_parity
from nearlossless.memory.peaks import ResidentPeak
from nearlossless.pipelines.compiling import copy_pipeline
from nearlossless.pipelines.loading import build_baseline, fingerprint_of
from nearlossless.runs.run import Run
from nearlossless.runs.selection import Subject

ROOT = Path(__file__).parents[3]
SIDE_PX, STEPS = 256, 2  # the miniature's largest: a kept picture takes 192 KiB
FEW, MANY, WARM_UP = 8, 80, 4
FIRST_SEED = 1000
# Threads have heaps of their own, and freed blocks wait in the heap for others that fit: both are noise. Blocks from
# this size on go back to the system at once.
QUIET_HEAP = {"OMP_NUM_THREADS": "1", "MALLOC_MMAP_THRESHOLD_": "32768"}


class Keeping:
    """A pipeline that keeps every picture it drew: a planted leak."""

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline
        self._kept: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pipeline, name)

    def __call__(self, **options: Any) -> Any:
        """What the pipeline draws."""
        output = self._pipeline(**options)
        self._kept.append(output)
        return output


def drawing(subject: Subject, pictures: int) -> Subject:
    """The subject with this many pictures, large and in few steps."""
    generation = subject.case.generation
    changes = {
        "seeds": tuple(range(FIRST_SEED, FIRST_SEED + pictures // len(generation.prompts))),
        "height": SIDE_PX,
        "width": SIDE_PX,
        "steps": STEPS,
        "parity_steps": STEPS,
    }
    checked = Generation.model_validate(generation.model_dump() | changes)
    case = subject.case.model_copy(update={"generation": checked})
    return Subject(
        case=case,
        case_folder=subject.case_folder,
        recipe_name=RECIPE,
        recipe=subject.recipe,
        device="cpu",
        is_named=True,
    )


def run_gate(subject: Subject, baseline: Any, compiled: Any, folder: Path, *, update: bool = False) -> None:
    """All that the quality gate does, from the recorded picture to the written report."""
    run = Run(folder)
    record = run.subject(subject)
    record.fingerprint = fingerprint_of(baseline, subject.case, "cpu")
    recording = record_baseline(baseline, subject.case)
    record.parity = measure_parity(recording, compiled, subject, SILENT)
    record.replay = measure_replay(recording, compiled, subject, SILENT)
    record.pictures, _ = measure_pictures(
        baseline, compiled, subject, record.fingerprint, SILENT, report_folder=folder, update=update
    )
    run.conclude(subject, judge_quality(record.pictures, subject.thresholds, record.parity, record.replay), "quality")
    run.write()
    unstored = [picture.stored_problem for picture in record.pictures if picture.stored is None]
    assert update or not unstored, unstored[0]


def prepare(folder: Path) -> None:
    """A case whose expected pictures are those that the baseline draws here."""
    subject = drawing(subject_of(MINIATURE), MANY)
    baseline = build_baseline(subject.case, "cpu")
    run_gate(subject, baseline, copy_pipeline(baseline, subject.recipe.touches), folder, update=True)
    case_folder = folder / "candidates" / subject.case.name
    write_text(case_folder / CASE_FILE, (MINIATURE / CASE_FILE).read_text(encoding="utf-8"))


def growth_bytes(folder: Path, pictures: int, *, keep: bool) -> int:
    """By how much the resident peak of one run exceeds what was resident before it, after a small run to warm up."""
    subject = drawing(subject_of(folder / "candidates" / MINIATURE.name), pictures)
    baseline = build_baseline(subject.case, "cpu")
    compiled = copy_pipeline(baseline, subject.recipe.touches)
    report, meter = folder / "report", ResidentPeak()
    run_gate(drawing(subject, WARM_UP), baseline, compiled, report)
    meter.reset()
    before = meter.read().gated_bytes  # reset, the peak is what is resident now
    run_gate(subject, baseline, Keeping(compiled) if keep else compiled, report)
    return meter.read().gated_bytes - before


def _child(*arguments: str) -> str:
    command = [sys.executable, "-m", "tests.benchmarks.cost.memory", *arguments]
    environment = os.environ | QUIET_HEAP
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout


def measure_memory(rounds: int) -> dict[str, Any]:
    """Growth of runs over few pictures, over many, and over many that are all kept, in turn."""
    kinds = {"few": [str(FEW)], "many": [str(MANY)], "kept": [str(MANY), "--keep"]}
    found: dict[str, list[int]] = {name: [] for name in kinds}
    with tempfile.TemporaryDirectory() as folder:
        _child(folder, "0")
        for number in range(rounds):
            for name in list(kinds)[:: -1 if number % 2 else 1]:
                found[name].append(json.loads(_child(folder, *kinds[name]).splitlines()[-1]))
                sys.stderr.write(f"memory, {name}: {found[name][-1] / 2**20:.1f} MiB\n")
    medians = {name: median(values) for name, values in found.items()}
    return {
        "side_px": SIDE_PX,
        "steps": STEPS,
        "pictures": {"few": FEW, "many": MANY, "kept": MANY},
        "growth_bytes": found,
        "more_over_many_bytes": medians["many"] - medians["few"],
        "more_when_kept_bytes": medians["kept"] - medians["few"],
    }


def main() -> None:
    """One run in this process; over no pictures, what all runs need is prepared."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("pictures", type=int)
    parser.add_argument("--keep", action="store_true", help="keep every picture that the compiled pipeline draws")
    options = parser.parse_args()
    if options.pictures == 0:
        prepare(options.folder)
    else:
        sys.stdout.write(f"{growth_bytes(options.folder, options.pictures, keep=options.keep)}\n")


if __name__ == "__main__":
    main()
