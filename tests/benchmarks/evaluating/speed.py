"""Prompts a second: a bare loop beside the local engine, prompt by prompt; then Ray with one and two workers."""

import json
import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median, stdev
from time import perf_counter, process_time
from typing import Any, NamedTuple

from nearlossless.environment import environment_variables
from nearlossless.evaluation.command import Options, _subject, run
from nearlossless.evaluation.engines import LocalEngine, fixed_threads
from nearlossless.evaluation.evaluating import new_judge
from nearlossless.evaluation.pairs import build_drawer
from nearlossless.evaluation.preparing import Wanted, prepare
from nearlossless.evaluation.prompts import Prompt
from nearlossless.evaluation.running import draw_missing
from nearlossless.evaluation.store import Store
from nearlossless.miniature.world import held_out_scenes
from nearlossless.processes.environment import child_environment
from nearlossless.progress import Progress

RECIPE = "tests.evaluation_backends:same"
CASE = f"""
judge = "miniature"
[model]
source = "miniature"
dtype = {{ cpu = "float32" }}
[generation]
prompts = ["red ring"]
seeds = [0]
height = 128
width = 128
steps = 28
guidance_scale = 3.5
max_sequence_length = 16
sizes = [[128, 128]]
[recipes]
same = {{ backend = "{RECIPE}" }}
[thresholds]
live = {{ min_ssim = 0.98 }}
evaluation = {{ max_clip_drop = 0.5, max_share_off = 0.01 }}
"""
ONE_WORKER = "ray, 1 worker"
SILENT = Progress(lambda _: None)


def measure_speed(prompts: int, rounds: int) -> dict[str, Any]:
    """
    Prompts a second of each way, and what the engine adds to a bare loop.

    The overhead is that of a whole evaluation in one process, each prompt of which a bare loop draws too, right before
    or right after it: what slows the machine slows both. Ray's workers draw the list by themselves, round by round.
    """
    workers_find = {"PYTHONPATH": child_environment({})["PYTHONPATH"]}  # the backend, as this process does
    with tempfile.TemporaryDirectory() as name, environment_variables(workers_find):
        folder = Path(name)
        (folder / "baselines" / "bench").mkdir(parents=True)
        (folder / "baselines" / "bench" / "case.toml").write_text(CASE, encoding="utf-8")
        options = _options(folder, _write_prompts(folder / "paired.jsonl", prompts * rounds))
        pairs = _measure_pairs(options[ONE_WORKER], folder)
        bare, local = pairs.bare, pairs.local
        rates = {"bare loop": [prompts * rounds / bare.wall_s], "local": [prompts * rounds / local.wall_s]}
        chosen = _write_prompts(folder / "prompts.jsonl", prompts)
        for number in range(rounds):
            for way, wanted in options.items():
                results = folder / f"{wanted.workers}-{number}"
                record, _ = run(replace(wanted, prompts=str(chosen), results=results), SILENT)
                rates.setdefault(way, []).append(record.pace.prompts / record.pace.seconds)
    return {
        "prompts": prompts,
        "rounds": rounds,
        "prompts_per_s": rates,
        "median_prompts_per_s": {way: median(values) for way, values in rates.items()},
        "overhead": local.wall_s / bare.wall_s - 1,
        "overhead_error": pairs.error,
        "cpu_overhead": local.cpu_s / bare.cpu_s - 1,
    }


def _write_prompts(path: Path, count: int) -> Path:
    lines = [json.dumps({"prompt": scene.caption}) for scene in held_out_scenes(count)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _options(folder: Path, prompts: Path) -> dict[str, Options]:
    common: dict[str, Any] = {
        "case": "bench",
        "recipe": "same",
        "baselines": folder / "baselines",
        "prompts": str(prompts),
        "threads": 1,
        "engine": "ray",
    }
    return {ONE_WORKER: Options(**common, workers=1), "ray, 2 workers": Options(**common, workers=2)}


class Taken(NamedTuple):
    """Seconds by the clock, and of the CPU."""

    wall_s: float
    cpu_s: float


def _now() -> Taken:
    return Taken(perf_counter(), process_time())


def _between(start: Taken, end: Taken) -> Taken:
    return Taken(end.wall_s - start.wall_s, end.cpu_s - start.cpu_s)


def _sum(taken: Sequence[Taken]) -> Taken:
    return Taken(sum(each.wall_s for each in taken), sum(each.cpu_s for each in taken))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """What a bare loop took, and what an evaluation took from an empty results folder to one that holds everything."""

    bare: Taken
    local: Taken
    error: float  # standard error of the ratio, from prompt to prompt


def _measure_pairs(options: Options, folder: Path) -> Pairs:
    prepared = prepare(Wanted(subject=_subject(options), folder=folder, prompts=options.prompts, threads=1))
    with fixed_threads(1):
        drawer = build_drawer(prepared.wanted.subject, None, SILENT)
    engine = LocalEngine(lambda: drawer, settings=partial(fixed_threads, 1))
    bare: list[Taken] = []
    local: list[Taken] = []  # from the moment the engine is given a prompt until it asks for the next

    def draw_bare(prompt: Prompt) -> None:
        start = _now()
        with fixed_threads(1):
            drawer.draw(prompt, (float("-inf"), 0))  # keeps no picture
        bare.append(_between(start, _now()))

    def given() -> Iterator[Prompt]:
        for number, prompt in enumerate(prepared.prompts):
            if number % 2:
                draw_bare(prompt)
            start = _now()
            try:
                yield prompt
            finally:  # after the last one nobody asks for more
                local.append(_between(start, _now()))
                if not number % 2:
                    draw_bare(prompt)

    start = _now()
    with Store(folder / "local", prepared.identity) as store:
        judge = new_judge(prepared.wanted.subject, engine.start(), len(prepared.prompts))
        draw_missing(engine, store, given(), judge, SILENT, stop_early=False)
    whole, in_bare = _between(start, _now()), _sum(bare)
    ratios = [one.wall_s / other.wall_s for one, other in zip(local, bare, strict=True)]
    return Pairs(bare=in_bare, local=_between(in_bare, whole), error=stdev(ratios) / math.sqrt(len(ratios)))
