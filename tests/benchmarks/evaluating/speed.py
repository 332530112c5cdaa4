"""Prompts a second: a bare loop beside either engine, prompt by prompt; then Ray with one and two workers."""

import json
import math
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median, stdev
from time import perf_counter, process_time
from typing import Any, NamedTuple

from tests.benchmarks.evaluating.page import ONE_WORKER

from nearlossless.environment import Fingerprint, environment_variables
from nearlossless.evaluation.command import Options, _engine, _subject
from nearlossless.evaluation.engines import Engine, LocalEngine, fixed_threads
from nearlossless.evaluation.evaluating import new_judge
from nearlossless.evaluation.pairs import PairDrawer, build_drawer
from nearlossless.evaluation.preparing import Prepared, Wanted, prepare
from nearlossless.evaluation.prompts import Prompt
from nearlossless.evaluation.ray_engine import RayEngine
from nearlossless.evaluation.running import Pace, draw_missing
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
SILENT = Progress(lambda _: None)


def measure_speed(prompts: int, rounds: int) -> dict[str, Any]:
    """
    Prompts a second of each way, and what an engine adds to a bare loop.

    The overhead is that of drawing, keeping and judging, not of what follows the last prompt; each prompt is drawn by a
    bare loop too, right before or right after it: what slows the machine slows both. Then Ray's workers draw by
    themselves, round by round. All pipelines are built before a clock starts.
    """
    workers_find = {"PYTHONPATH": child_environment({})["PYTHONPATH"]}  # the backend, as this process does
    with tempfile.TemporaryDirectory() as name, environment_variables(workers_find):
        folder = Path(name)
        (folder / "baselines" / "bench").mkdir(parents=True)
        (folder / "baselines" / "bench" / "case.toml").write_text(CASE, encoding="utf-8")
        options = _options(folder, _write_prompts(folder / "paired.jsonl", prompts * rounds))
        local, ray = _measure_local(options[ONE_WORKER], folder), _measure_ray(options[ONE_WORKER], folder)
        paired = {"bare loop": local.bare, "local": local.engine}
        rates = {way: [prompts * rounds / taken.wall_s] for way, taken in paired.items()}
        chosen = _write_prompts(folder / "prompts.jsonl", prompts)
        for number in range(rounds):
            for way, wanted in options.items():
                results = folder / f"{wanted.workers}-{number}"
                pace = _measure_round(replace(wanted, prompts=str(chosen)), results)
                rates.setdefault(way, []).append(pace.prompts / pace.seconds)
    return {
        "prompts": prompts,
        "rounds": rounds,
        "prompts_per_s": rates,
        "median_prompts_per_s": {way: median(values) for way, values in rates.items()},
        "overhead": local.overhead,
        "overhead_error": local.error,
        "cpu_overhead": local.engine.cpu_s / local.bare.cpu_s - 1,
        "ray_overhead": ray.overhead,
        "ray_overhead_error": ray.error,
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
    """What a bare loop took, and what an engine took from an empty results folder to the last prompt's result."""

    bare: Taken
    engine: Taken
    error: float  # standard error of the ratio, from prompt to prompt

    @property
    def overhead(self) -> float:
        """Of the engine, in seconds by the clock."""
        return self.engine.wall_s / self.bare.wall_s - 1


def _prepared(options: Options, folder: Path) -> Prepared:
    return prepare(Wanted(subject=_subject(options), folder=folder, prompts=options.prompts, threads=1))


def _drawer(prepared: Prepared) -> PairDrawer:
    with fixed_threads(1):
        return build_drawer(prepared.wanted.subject, None, SILENT)


def _measure_local(options: Options, folder: Path) -> Pairs:
    """The local engine and the bare loop draw with the same pipelines."""
    prepared = _prepared(options, folder / "local")
    drawer = _drawer(prepared)
    engine = LocalEngine(lambda: drawer, settings=partial(fixed_threads, 1))
    return _measure_pairs(prepared, engine, engine.start(), drawer, ahead=0)


def _measure_ray(options: Options, folder: Path) -> Pairs:
    """The bare loop draws in this process while Ray's one worker has nothing to do, and the other way round."""
    prepared = _prepared(options, folder / "ray")
    drawer = _drawer(prepared)
    with _ray_engine(options, prepared) as (engine, fingerprint):
        return _measure_pairs(prepared, engine, fingerprint, drawer, ahead=1)


def _measure_round(options: Options, folder: Path) -> Pace:
    prepared = _prepared(options, folder)
    with _ray_engine(options, prepared) as (engine, fingerprint):
        return _draw(prepared, engine, fingerprint, prepared.prompts)


@contextmanager
def _ray_engine(options: Options, prepared: Prepared) -> Iterator[tuple[RayEngine, Fingerprint]]:
    """Started, with as many workers ready as there is room for."""
    engine = _engine(options, prepared.wanted, SILENT)
    assert isinstance(engine, RayEngine)
    with closing(engine):
        fingerprint = engine.start()
        while len(engine._idle) < min(engine.workers, engine._room()):
            engine._look()
        yield engine, fingerprint


def _draw(prepared: Prepared, engine: Engine, fingerprint: Fingerprint, prompts: Iterable[Prompt]) -> Pace:
    with Store(prepared.wanted.folder, prepared.identity) as store:
        judge = new_judge(prepared.wanted.subject, fingerprint, len(prepared.prompts))
        return draw_missing(engine, store, prompts, judge, SILENT, stop_early=False)


def _measure_pairs(
    prepared: Prepared, engine: Engine, fingerprint: Fingerprint, drawer: PairDrawer, *, ahead: int
) -> Pairs:
    """An engine that draws one prompt at a time, and asks for so many more before it draws one."""
    bare: list[Taken] = []
    between: list[Taken] = []  # from the moment the engine is given a prompt until it asks for the next

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
                between.append(_between(start, _now()))
                if not number % 2:
                    draw_bare(prompt)

    start = _now()
    _draw(prepared, engine, fingerprint, given())
    whole, in_bare = _between(start, _now()), _sum(bare)
    ratios = [one.wall_s / other.wall_s for one, other in zip(between[ahead:], bare, strict=False)]
    return Pairs(bare=in_bare, engine=_between(in_bare, whole), error=stdev(ratios) / math.sqrt(len(ratios)))
