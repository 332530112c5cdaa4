"""
What the quality gate catches and what it leaves alone, beside other projects' default gates on the same pictures.

Changes the miniature's pipeline in every way that `quality/defects.py` and `quality/benign.py` list, draws held-out
prompts with each, and writes `docs/benchmarks/quality.md`, `.json` and the contact sheet `quality.png`. Run by
`tox run -e bench-quality`; exit code 1 when a defect is missed or a benign change refused.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from tests.benchmarks.quality.benign import BENIGN
from tests.benchmarks.quality.changes import Change
from tests.benchmarks.quality.defects import DEFECTS
from tests.benchmarks.quality.judging import Anchor, Decision, decide, make_anchor, measured_floor
from tests.benchmarks.quality.page import OURS, Row, contact_sheet, figures, render

from nearlossless.atomic import write_text
from nearlossless.backends import BackendError
from nearlossless.cases.case import Case
from nearlossless.cases.files import load_case
from nearlossless.cases.thresholds import Band
from nearlossless.environment import cpu_model, stack
from nearlossless.miniature.world import held_out_scenes
from nearlossless.pipelines.compiling import check_batch_unchanged, copy_pipeline
from nearlossless.pipelines.drawing import draw_batch, release
from nearlossless.pipelines.loading import build_baseline
from nearlossless.pipelines.requests import short_batch
from nearlossless.shapes.counting import counted_compiles
from nearlossless.torch_settings import restored_torch_settings

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "benchmarks"
SEEDS, PROMPTS, WORLD = (50, 51, 52), 2, 50


class Bench:
    """Baselines and anchors, made when the first change asks for them."""

    def __init__(self, seeds: tuple[int, ...], folder: Path) -> None:
        self.case = load_case(ROOT / "baselines" / "miniature")
        known = self.case.generation.prompts
        scenes = [scene.caption for scene in held_out_scenes(PROMPTS + len(known), seed=WORLD)]
        self.prompts = tuple(caption for caption in scenes if caption not in known)[:PROMPTS]
        self.seeds, self._folder = seeds, folder
        self._pipelines: dict[str, Any] = {}
        self._floors: dict[str, Band] = {}
        self._anchors: dict[tuple[int, int, str], Anchor] = {}

    def _case(self, change: Change, seed: int) -> Case:
        asked = {"prompts": self.prompts, "seeds": (seed,), "batch_size": change.batch_size}
        generation = self.case.generation.model_copy(update=asked)
        model = self.case.model.model_copy(update={"dtype": {"cpu": change.dtype}})
        return self.case.model_copy(update={"generation": generation, "model": model})

    def _anchor(self, change: Change, seed: int) -> Anchor:
        key = (seed, change.batch_size, change.dtype)
        if key not in self._anchors:
            case = self._case(change, seed)
            folder = self._folder / "baselines" / "-".join(map(str, key))
            self._anchors[key] = make_anchor(self._pipelines[change.dtype], case, folder, self._floor(change.dtype))
        return self._anchors[key]

    def _floor(self, dtype: str) -> Band:
        """Of each dtype once; what it calls benign is what a user's calibration does."""
        if dtype not in self._floors:
            sys.stdout.write(f"noise floor in {dtype}\n")
            sys.stdout.flush()
            model = self.case.model.model_copy(update={"dtype": {"cpu": dtype}})
            case, cache = self.case.model_copy(update={"model": model}), self._folder / f"cache-{dtype}"
            self._floors[dtype] = measured_floor(self._pipelines[dtype], case, cache)
            release("cpu")
        return self._floors[dtype]

    def decisions(self, change: Change) -> list[Decision]:
        """
        What the gates make of a change on each seed.

        Raises:
            BackendError: It was to compile and did not, or the reverse.
            BaselineChanged: The change reached the baseline that it was to be judged beside.
        """
        first = self._case(change, self.seeds[0])
        if change.dtype not in self._pipelines:
            self._pipelines[change.dtype] = build_baseline(first, "cpu")
        baseline, short = self._pipelines[change.dtype], short_batch(first.generation)
        before = [draw_batch(baseline, first.generation, short) for _ in range(2)]
        anchors = [self._anchor(change, seed) for seed in self.seeds]
        with restored_torch_settings():
            with counted_compiles() as compiles:
                changed = change.apply(copy_pipeline(baseline, None))
                draw_batch(changed, first.generation, short)  # a run draws with it before it judges it, too
            if bool(compiles.graphs) != change.compiles:
                raise BackendError(f"{change.name}: {compiles.graphs} graphs were compiled")
            found = [decide(changed, anchor, self._folder / change.apply.__name__) for anchor in anchors]
        check_batch_unchanged(before, draw_batch(baseline, first.generation, short))
        del changed
        release("cpu")  # code compiled for one change must not serve the next
        return found

    def settings(self) -> dict[str, Any]:
        """What was drawn, and where."""
        generation = self.case.generation
        return {
            "prompts": list(self.prompts),
            "seeds": list(self.seeds),
            "size": f"{generation.width}x{generation.height}",
            "steps": generation.steps,
            "guidance_scale": generation.guidance_scale,
            "cpu": cpu_model(),
            "threads": torch.get_num_threads(),
            "stack": stack(),
            "noise_floors": {dtype: floor.model_dump(exclude_none=True) for dtype, floor in self._floors.items()},
        }


def told(row: Row, seconds: float) -> str:
    """A line about one change."""
    words = ("caught", "MISSED") if row.is_defect else ("left alone", "REFUSED")
    checks = "; ".join(dict.fromkeys(name for decision in row.decisions for name in decision.caught_by))
    tiles = " ".join(f"{decision.worst_tile_ssim or 0:.4f}" for decision in row.decisions)
    return (
        f"{words[not row.is_right]:10} {row.refusals(OURS)}/{len(row.decisions)} {row.change.name}: {checks or '-'}"
        f" (worst tiles {tiles}, {seconds:.0f} s)\n"
    )


def measure(bench: Bench, only: list[str]) -> list[Row]:
    """A row for each change, told as it is decided."""
    rows = []
    for change, is_defect in [*((change, False) for change in BENIGN), *((change, True) for change in DEFECTS)]:
        if only and change.name not in only:
            continue
        start = time.perf_counter()
        rows.append(Row(change=change, is_defect=is_defect, decisions=bench.decisions(change)))
        sys.stdout.write(told(rows[-1], time.perf_counter() - start))
        sys.stdout.flush()
    return rows


def main() -> int:
    """Measure, write, and tell wrong decisions."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, help=f"default: {' '.join(map(str, SEEDS))}")
    names = [change.name for change in (*BENIGN, *DEFECTS)]
    parser.add_argument(
        "--only", nargs="+", default=[], choices=names, metavar="NAME", help="these changes, and write nothing"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-quality-") as folder:
        bench = Bench(tuple(options.seeds), Path(folder))
        rows = measure(bench, options.only)
        if not options.only:
            FOLDER.mkdir(parents=True, exist_ok=True)
            contact_sheet(rows).save(FOLDER / "quality.png", optimize=True)
            write_text(FOLDER / "quality.json", json.dumps(figures(rows, bench.settings()), indent=1) + "\n")
            write_text(FOLDER / "quality.md", render(rows, bench.settings()))
    wrong = [row.change.name for row in rows if not row.is_right]
    sys.stdout.write(f"{len(rows) - len(wrong)} of {len(rows)} right; wrong: {', '.join(wrong) or 'none'}\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
