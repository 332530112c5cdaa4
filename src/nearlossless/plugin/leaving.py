"""What a worker leaves of each subject, gate by gate, and the one run that its controller makes of it."""

from collections.abc import Generator
from typing import Any

import pytest

from nearlossless.plugin.items import gate_of, is_controller, is_worker, subject_of
from nearlossless.plugin.stash import CRASHED, DESK, HAS_BEGUN, RANKS, RUN, RUNNING, TROUBLES
from nearlossless.record import RecordError
from nearlossless.runs.parts import DIED, Running, SubjectPart, died, join_parts, read_part, write_part
from nearlossless.runs.selection import Subject

PARTS = "parts"  # in the folder that the processes of a run share


class WorkerDied(Exception):
    """The process in which a gate ran ended in the middle of it; it is not tried again."""


def leave(config: pytest.Config, subject: Subject) -> None:
    """Write a worker's part of a subject as it is now; nothing without xdist."""
    if not is_worker(config):
        return
    run = config.stash[RUN]
    part = SubjectPart(
        id=subject.id,
        rank=config.stash[RANKS][subject.id],
        record=run.subjects.get(subject.id),
        running=config.stash.get(RUNNING, None),
        candidates=sorted(run.candidates),
        shard=run.shard,
    )
    write_part(part, config.stash[DESK] / PARTS)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    """Around each gate of a worker: that it began, and what it came to."""
    subject, config = subject_of(item), item.config
    if subject is None or not is_worker(config):
        return (yield)
    _go_on(config, subject)
    config.stash[RUNNING] = Running(gate=gate_of(item), test=item.nodeid)
    leave(config, subject)
    result = yield
    del config.stash[RUNNING]
    leave(config, subject)
    return result


def _go_on(config: pytest.Config, subject: Subject) -> None:
    """Take over the part of a worker that died."""
    run = config.stash[RUN]
    part = read_part(config.stash[DESK] / PARTS, subject.id) if subject.id not in run.subjects else None
    if part is None:
        return
    run.candidates.update(part.candidates)
    if part.running is not None:
        config.stash.setdefault(CRASHED, set()).add(part.running.test)
    if part.record is not None:
        run.subjects[subject.id] = part.record
        if part.running is not None:
            part.record.verdicts.append(died(part.running))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Xdist gives a test whose worker died to the next one: there it fails at once."""
    if item.nodeid in item.config.stash.get(CRASHED, ()):
        raise WorkerDied(DIED)


def gather(config: pytest.Config) -> None:
    """The controller's end: one run out of what its workers left."""
    if not is_controller(config) or HAS_BEGUN not in config.stash:
        return
    run = config.stash[RUN]
    try:
        joined = join_parts(config.stash[DESK] / PARTS)
    except RecordError as error:
        config.stash[TROUBLES].append(str(error))
        return
    run.subjects, run.candidates, run.shard = joined.subjects, joined.candidates, joined.shard
