"""Prompts a second: a bare loop, the local engine, and Ray with one and two workers, in turn."""

import json
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from nearlossless.environment import environment_variables
from nearlossless.evaluation.command import Options, _subject, run
from nearlossless.evaluation.engines import fixed_threads
from nearlossless.evaluation.pairs import build_drawer
from nearlossless.evaluation.preparing import Wanted, prepare
from nearlossless.miniature.world import held_out_scenes
from nearlossless.processes import child_environment
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
    """Each way in turn, round by round; seconds from the first prompt to the last, pipelines built before."""
    workers_find = {"PYTHONPATH": child_environment({})["PYTHONPATH"]}  # the backend, as this process does
    with tempfile.TemporaryDirectory() as name, environment_variables(workers_find):
        folder = Path(name)
        (folder / "baselines" / "bench").mkdir(parents=True)
        (folder / "baselines" / "bench" / "case.toml").write_text(CASE, encoding="utf-8")
        chosen = folder / "prompts.jsonl"
        _write_prompts(chosen, prompts)
        rates: dict[str, list[float]] = {"bare loop": [], "local": [], "ray, 1 worker": [], "ray, 2 workers": []}
        for number in range(rounds):
            options = _options(folder, chosen, number)
            rates["bare loop"].append(_bare(options["local"], prompts))
            for way, wanted in options.items():
                record, _ = run(wanted, SILENT)
                rates[way].append(record.pace.prompts / record.pace.seconds)
    overheads = [bare / local - 1 for bare, local in zip(rates["bare loop"], rates["local"], strict=True)]
    return {
        "prompts": prompts,
        "rounds": rounds,
        "prompts_per_s": rates,
        "median_prompts_per_s": {way: median(values) for way, values in rates.items()},
        "overhead": median(overheads),
        "overheads": overheads,
    }


def _write_prompts(path: Path, count: int) -> None:
    lines = [json.dumps({"prompt": scene.caption}) for scene in held_out_scenes(count)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _options(folder: Path, prompts: Path, number: int) -> dict[str, Options]:
    common: dict[str, Any] = {
        "case": "bench",
        "recipe": "same",
        "baselines": folder / "baselines",
        "prompts": str(prompts),
        "threads": 1,
    }
    return {
        "local": Options(**common, results=folder / f"local-{number}"),
        "ray, 1 worker": Options(**common, results=folder / f"one-{number}", engine="ray", workers=1),
        "ray, 2 workers": Options(**common, results=folder / f"two-{number}", engine="ray", workers=2),
    }


def _bare(options: Options, count: int) -> float:
    """Draw, compare and score in a plain loop that keeps nothing."""
    subject = _subject(options)
    prompts = prepare(Wanted(subject=subject, folder=Path("unused"), prompts=options.prompts, threads=1)).prompts
    with fixed_threads(1):
        drawer = build_drawer(subject, None, SILENT)
        start = perf_counter()
        for prompt in prompts.prompts:
            drawer.draw(prompt, (float("-inf"), 0))
        return count / (perf_counter() - start)
