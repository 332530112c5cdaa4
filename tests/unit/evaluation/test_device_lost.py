"""A GPU that one prompt broke: it counts as the death of the process, and no other prompt fails for it."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.unit.conftest import MakeSubject

from nearlossless.cases.case import Case
from nearlossless.cases.recipes import Recipe
from nearlossless.evaluation.engines import LocalEngine, fixed_threads
from nearlossless.evaluation.identity import RunIdentity
from nearlossless.evaluation.pairs import DeviceLost, PairDrawer
from nearlossless.evaluation.prompts import Prompt
from nearlossless.evaluation.remote import Worker, WorkerJob
from nearlossless.evaluation.results import Status

pytest.importorskip("pyarrow")
from nearlossless.evaluation.store import Store

PROMPT = Prompt(3, 4, "a", 0)
MakeDrawer = Callable[[], PairDrawer]


@pytest.fixture
def make_drawer(tiny_case: Case) -> MakeDrawer:
    """Of pipelines that fail at every prompt."""

    def broken(**_: Any) -> Any:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    fingerprint: Any = None
    return lambda: PairDrawer(
        case=tiny_case,
        variables={},
        baseline=broken,
        compiled=broken,
        fingerprint=fingerprint,
        judge=None,
        network=None,
    )


@pytest.fixture
def lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU that has been in use, and answers everything with the error of the kernel that broke it."""

    def fail() -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", fail)


def test_failure_on_a_sound_device_is_the_prompt_s(make_drawer: MakeDrawer) -> None:
    """Kept as its result, and the next one is drawn."""
    assert make_drawer().draw(PROMPT, None).result.status is Status.BASELINE_FAILED


@pytest.mark.usefixtures("lost")
def test_lost_device_is_a_death_in_this_process(make_drawer: MakeDrawer, tmp_path: Path) -> None:
    """Two starts end with an error that names the prompt, and the third sets it aside."""
    identity = RunIdentity(case="c", recipe="r", device="cuda", prompts_sha256="", prompts=9, settings={}, threads=1)
    for _ in range(2):
        engine = LocalEngine(make_drawer, settings=lambda: fixed_threads(1))
        engine.start()
        with Store(tmp_path, identity) as store, pytest.raises(DeviceLost, match=r"since prompt 3: .*illegal memory"):
            next(engine.results(iter([PROMPT]), store))
    with Store(tmp_path, identity) as store:
        (found,) = engine.results(iter([PROMPT]), store)
    assert found.result.status is Status.SET_ASIDE


@pytest.mark.usefixtures("lost")
def test_lost_device_ends_a_worker(
    make_drawer: MakeDrawer, make_subject: MakeSubject, tiny_case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process ends, for Ray to start another."""

    def end(code: int) -> None:
        raise SystemExit(code)

    monkeypatch.setattr(os, "_exit", end)
    subject = make_subject(tiny_case, Recipe(backend="inductor"))
    job = WorkerJob(
        case=tiny_case,
        case_folder=subject.case_folder,
        recipe_name="r",
        recipe=subject.recipe,
        device="cpu",
        features=None,
        threads=1,
    )
    worker = Worker(job.model_dump_json())
    worker._drawer = make_drawer()
    with pytest.raises(SystemExit):
        worker.draw(PROMPT, None)
