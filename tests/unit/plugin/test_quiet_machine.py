"""Processes that are timed from their start on, one by one over all workers."""

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from nearlossless.plugin.stash import DESK
from nearlossless.plugin.workers import quiet_machine
from nearlossless.progress import Progress

LIMIT_S = 30.0


def worker(desk: Path) -> pytest.Config:
    """As much of a worker's config as there has to be."""
    stash = pytest.Stash()
    stash[DESK] = desk
    return cast("pytest.Config", SimpleNamespace(workerinput={}, stash=stash))


def test_workers_wait_for_each_other(tmp_path: Path) -> None:
    """A second worker says that it waits, and enters only when the first has left."""
    waits, entered = threading.Event(), threading.Event()

    def second() -> None:
        with quiet_machine(worker(tmp_path), Progress(lambda _text: waits.set())):
            entered.set()

    thread = threading.Thread(target=second)
    with quiet_machine(worker(tmp_path), Progress(lambda _text: None)):
        thread.start()
        assert waits.wait(LIMIT_S)
        assert not entered.is_set()
    thread.join(LIMIT_S)
    assert entered.is_set()


def test_nobody_waits_without_workers(tmp_path: Path) -> None:
    """One process alone takes no lock and says nothing."""
    said: list[str] = []
    config = cast("pytest.Config", SimpleNamespace(stash=pytest.Stash()))
    with quiet_machine(config, Progress(said.append)), quiet_machine(config, Progress(said.append)):
        pass
    assert said == []
    assert not list(tmp_path.iterdir())
