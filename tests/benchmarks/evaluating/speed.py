"""Prompts a second: a bare loop beside the local engine, and Ray with one and two workers, in turn."""

import json
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any, NamedTuple

from nearlossless.environment import environment_variables
from nearlossless.evaluation.command import Options, _subject, run
from nearlossless.evaluation.engines import LocalEngine, fixed_threads
from nearlossless.evaluation.evaluating import new_judge
from nearlossless.evaluation.pairs import PairDrawer, build_drawer
from nearlossless.evaluation.preparing import Prepared, Wanted, prepare
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
    Each way in turn, round by round; seconds from the first prompt to the last, pipelines built before.

    The overhead is a median of rounds, in each of which bare loop and engine draw the same prompts with the same
    pipelines one right after the other, every other round in the other order: what slows the machine for minutes slows
    both. CPU seconds tell what it costs without what waits for the disk.
    """
    workers_find = {"PYTHONPATH": child_environment({})["PYTHONPATH"]}  # the backend, as this process does
    with tempfile.TemporaryDirectory() as name, environment_variables(workers_find):
        folder = Path(name)
        (folder / "baselines" / "bench").mkdir(parents=True)
        (folder / "baselines" / "bench" / "case.toml").write_text(CASE, encoding="utf-8")
        chosen = folder / "prompts.jsonl"
        _write_prompts(chosen, prompts)
        options = _options(folder, chosen)
        pairs = _pairs(options[ONE_WORKER], folder, rounds)
        rates = {
            "bare loop": [prompts / bare.wall_s for bare, _ in pairs],
            "local": [prompts / local.wall_s for _, local in pairs],
        }
        for number in range(rounds):
            for way, wanted in options.items():
                record, _ = run(replace(wanted, results=folder / f"{wanted.workers}-{number}"), SILENT)
                rates.setdefault(way, []).append(record.pace.prompts / record.pace.seconds)
    overheads = [local.wall_s / bare.wall_s - 1 for bare, local in pairs]
    return {
        "prompts": prompts,
        "rounds": rounds,
        "prompts_per_s": rates,
        "median_prompts_per_s": {way: median(values) for way, values in rates.items()},
        "overhead": median(overheads),
        "overheads": overheads,
        "cpu_overhead": median(local.cpu_s / bare.cpu_s - 1 for bare, local in pairs),
    }


def _write_prompts(path: Path, count: int) -> None:
    lines = [json.dumps({"prompt": scene.caption}) for scene in held_out_scenes(count)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


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
    """What a way took for all prompts."""

    wall_s: float
    cpu_s: float


def _pairs(options: Options, folder: Path, rounds: int) -> list[tuple[Taken, Taken]]:
    """Bare loop and local engine, round by round."""
    prepared = prepare(Wanted(subject=_subject(options), folder=folder, prompts=options.prompts, threads=1))
    with fixed_threads(1):
        drawer = build_drawer(prepared.wanted.subject, None, SILENT)
    ways = [lambda _: _bare(drawer, prepared), lambda place: _local(drawer, prepared, place)]
    found = []
    for number in range(rounds):
        taken = {way: _taken(partial(ways[way], folder / f"local-{number}")) for way in (number % 2, 1 - number % 2)}
        found.append((taken[0], taken[1]))
    return found


def _taken(draw: Callable[[], None]) -> Taken:
    wall_s, cpu_s = perf_counter(), process_time()
    draw()
    return Taken(perf_counter() - wall_s, process_time() - cpu_s)


def _bare(drawer: PairDrawer, prepared: Prepared) -> None:
    """Draw, compare and score in a plain loop that keeps nothing."""
    with fixed_threads(1):
        for prompt in prepared.prompts.prompts:
            drawer.draw(prompt, (float("-inf"), 0))


def _local(drawer: PairDrawer, prepared: Prepared, folder: Path) -> None:
    """The same as an evaluation does it, from an empty results folder to one that holds everything."""
    engine = LocalEngine(lambda: drawer, settings=partial(fixed_threads, 1))
    with Store(folder, prepared.identity) as store:
        judge = new_judge(prepared.wanted.subject, engine.start(), len(prepared.prompts))
        draw_missing(engine, store, prepared.prompts.prompts, judge, SILENT, stop_early=False)
