"""A small case in a folder of its own, a list of prompts, and results made by hand."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.scores import scores

from nearlossless.evaluation.results import PromptResult
from nearlossless.miniature.world import held_out_scenes

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
side_range = [64, 256]
[recipes]
same = { backend = "tests.evaluation_backends:same" }
deadly = { backend = "tests.evaluation_backends:deadly" }
failing = { backend = "tests.evaluation_backends:failing" }
stopped = { backend = "tests.evaluation_backends:stopped" }
[thresholds]
live = { min_ssim = 0.98 }
evaluation = { max_clip_drop = 0.5, max_share_off = 0.01 }
"""
MakeResult = Callable[..., PromptResult]


@pytest.fixture
def baselines(tmp_path: Path) -> Path:
    """A folder with the case `tiny`."""
    folder = tmp_path / "baselines" / "tiny"
    folder.mkdir(parents=True)
    (folder / "case.toml").write_text(CASE, encoding="utf-8")
    return folder.parent


@pytest.fixture
def prompts_file(tmp_path: Path) -> Path:
    """Twelve captions of the miniature's world, as JSON Lines."""
    path = tmp_path / "prompts.jsonl"
    lines = [json.dumps({"prompt": scene.caption}) for scene in held_out_scenes(12, seed=3)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def make_result() -> MakeResult:
    """Makes the result of a prompt that was drawn alike by both; keywords change it."""

    def make(number: int, **changes: object) -> PromptResult:
        sound: dict[str, object] = {
            "number": number,
            "line": number + 1,
            "prompt": f"prompt {number}",
            "seed": number,
            "scores": scores(),
            "baseline_clip": 30.0,
            "compiled_clip": 30.0,
            "baseline_features": b"\x00<" * 4,
            "compiled_features": b"\x00<" * 4,
        }
        return PromptResult(**{**sound, **changes})  # type: ignore[arg-type]

    return make
