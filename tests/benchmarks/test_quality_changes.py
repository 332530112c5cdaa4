"""The benchmark's defects change what a gate can see, its benign changes only rounding."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.benchmarks.quality.benign import BENIGN
from tests.benchmarks.quality.changes import Change
from tests.benchmarks.quality.defects import DEFECTS
from tests.benchmarks.quality.judging import SILENT, Anchor, make_anchor

from nearlossless.cases.case import Case
from nearlossless.cases.files import load_case
from nearlossless.cases.thresholds import Band
from nearlossless.gates.parity import parity_checks
from nearlossless.gates.replay import replay_checks
from nearlossless.measuring.replaying import measure_replay
from nearlossless.measuring.step_parity import measure_parity
from nearlossless.pipelines.compiling import copy_pipeline
from nearlossless.pipelines.drawing import draw_batch
from nearlossless.pipelines.loading import build_baseline
from nearlossless.pipelines.requests import batches
from nearlossless.verdicts import Outcome

BASELINES = Path(__file__).parents[2] / "baselines"
ROUNDING_LEVELS = 1  # what other rounding may move in a pixel
# What takes seconds to a minute runs in the benchmark only: compiling, another process, threads on a loaded machine.
LEFT_OUT = ("another process", "two threads")
QUICK = [c for c in BENIGN if not c.compiles and c.dtype == "float32" and c.name not in LEFT_OUT]


@lru_cache(maxsize=1)
def pipeline() -> Any:
    """The miniature's baseline."""
    return build_baseline(load_case(BASELINES / "miniature"), "cpu")


def tiny_case(batch_size: int) -> Case:
    """Two of the miniature's prompts at 64x64 in two steps."""
    case = load_case(BASELINES / "miniature")
    changes = {"prompts": case.generation.prompts[:2], "seeds": (30,), "batch_size": batch_size}
    changes |= {"height": 64, "width": 64, "steps": 2}
    return case.model_copy(update={"generation": case.generation.model_copy(update=changes)})


@pytest.fixture(scope="module")
def anchors(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Anchor]:
    """What the baseline drew and computed, for each batch size."""
    folder = tmp_path_factory.mktemp("anchors")
    return {size: make_anchor(pipeline(), tiny_case(size), folder / f"{size}", Band()) for size in (1, 2)}


def is_moved(change: Change, anchor: Anchor) -> bool:
    """Whether pictures move by more than rounding, or step parity or the replay is not what the gate asks for."""
    changed, generation = change.apply(copy_pipeline(pipeline(), None)), anchor.subject.case.generation
    parity = measure_parity(anchor.recording, changed, anchor.subject, SILENT)
    replay = measure_replay(anchor.recording, changed, anchor.subject, SILENT)
    checks = parity_checks(parity, anchor.subject.thresholds) + replay_checks(replay, anchor.subject.thresholds)
    levels = 0
    for batch in batches(generation):
        pairs = zip(draw_batch(changed, generation, batch), draw_batch(anchor.baseline, generation, batch), strict=True)
        levels = max(levels, *(int(abs(np.asarray(a, dtype=int) - np.asarray(b, dtype=int)).max()) for a, b in pairs))
    return levels > ROUNDING_LEVELS or any(check.outcome is not Outcome.PASS for check in checks)


@pytest.mark.parametrize("change", DEFECTS, ids=lambda change: change.name)
def test_defects_change_what_a_gate_can_see(change: Change, anchors: dict[int, Anchor]) -> None:
    """Each defect moves a picture by more than rounding, or what step parity or the replay looks at."""
    assert is_moved(change, anchors[change.batch_size])


@pytest.mark.parametrize("change", QUICK, ids=lambda change: change.name)
def test_benign_changes_are_rounding(change: Change, anchors: dict[int, Anchor]) -> None:
    """A benign change moves no pixel by more than rounding, and neither step parity nor the replay minds it."""
    assert not is_moved(change, anchors[change.batch_size])


def test_baseline_outlives_every_change(anchors: dict[int, Anchor]) -> None:
    """After all changes the baseline draws what it drew before any: each changed a copy."""
    anchor = anchors[1]
    batch = batches(anchor.subject.case.generation)[0]
    fresh = draw_batch(pipeline(), anchor.subject.case.generation, batch)
    assert [p.tobytes() for p in fresh] == [
        p.tobytes() for p in draw_batch(anchor.baseline, anchor.subject.case.generation, batch)
    ]


def test_zoo_is_large_enough() -> None:
    """At least 25 defects and 15 benign changes, each of a name and a description of its own."""
    assert len(DEFECTS) >= 25
    assert len(BENIGN) >= 15
    changes = [*DEFECTS, *BENIGN]
    assert len({change.name for change in changes}) == len({change.description for change in changes}) == len(changes)
