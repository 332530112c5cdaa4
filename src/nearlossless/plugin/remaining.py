"""How long each gate takes, for the record; and as one begins, how long the run will, if former runs tell."""

import time
from collections.abc import Generator
from typing import Any

import pytest

from nearlossless.history.store import newest
from nearlossless.plugin.items import gate_of, is_worker, subject_of
from nearlossless.plugin.keeping import history_folder
from nearlossless.plugin.stash import PROGRESS, REMAINING, RUN
from nearlossless.record import RECORD_FILE, Record, RecordError, read_record
from nearlossless.runs.devices import gpu_names
from nearlossless.runs.remaining import Remaining, known_seconds

RUNS = 10  # of the history, the newest


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """
    Find out what former runs tell, before this one clears its report folder.

    A worker of xdist does not know which gates it will be given.
    """
    config = session.config
    if is_worker(config) or config.getoption("collectonly") or not any(map(subject_of, session.items)):
        return
    from nearlossless.environment import hardware_name

    gpus = gpu_names()
    gates = [
        (item.nodeid, (subject.case.name, subject.recipe_name, subject.device, gate_of(item)))
        for item in session.items
        if (subject := subject_of(item)) and (subject.device != "cuda" or gpus)
    ]
    config.stash[REMAINING] = Remaining(gates, known_seconds(_former(config), {hardware_name("cpu"), *gpus}))


def _former(config: pytest.Config) -> list[Record]:
    """The newest records of the history, and the one that this run's report will take the place of."""
    found = []
    folder, path = history_folder(config), config.stash[RUN].folder / RECORD_FILE
    try:
        found += [entry.record for entry in newest(folder, RUNS).entries] if folder and folder.is_dir() else []
        found += [read_record(path)] if path.exists() else []
    except (OSError, RecordError):  # they are not what this run is about
        return found
    return found


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    """Time a gate with all that it is the first to build, and say before it what is left."""
    if subject_of(item) is None:
        return (yield)
    if REMAINING in item.config.stash and (told := item.config.stash[REMAINING].told(item.nodeid)):
        item.config.stash[PROGRESS].say(told)
    start = time.monotonic()
    result = yield
    item.config.stash[RUN].took(item.nodeid, time.monotonic() - start)
    return result
