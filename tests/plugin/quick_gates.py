"""Gate tests of inner runs that measure nothing: they tell where they ran, and die where it is planted."""

import json
import os
from pathlib import Path

import pytest

from nearlossless.environment import fingerprint
from nearlossless.plugin.fixtures import Concluding
from nearlossless.record.subject import SubjectRecord
from nearlossless.runs.selection import Subject
from nearlossless.verdicts import at_least, verdict

LOG = Path("ran.jsonl")


@pytest.fixture
def ran(subject: Subject, subject_record: SubjectRecord, request: pytest.FixtureRequest) -> None:
    """Note the gate, its worker, and what that worker has to itself."""
    subject_record.fingerprint = fingerprint(device="cpu", dtype="float32", weights="none", scheduler="none")
    told = {
        "subject": subject.id,
        "gate": request.node.get_closest_marker("gate").args[0],
        "worker": os.environ.get("PYTEST_XDIST_WORKER"),
        "cores": sorted(os.sched_getaffinity(0)),
        "threads": os.environ.get("OMP_NUM_THREADS"),
    }
    with LOG.open("a", encoding="utf-8") as file:
        file.write(json.dumps(told) + "\n")
    if f"{told['subject']} {told['gate']}" == os.environ.get("PLANTED_DEATH"):
        os._exit(3)


def judged(gate: str, subject: Subject) -> float:
    """What a gate finds: enough, but for one recipe."""
    return 0.5 if subject.recipe_name == "worse" and gate == "speedup" else 1.0


@pytest.mark.gate("memory")
def test_memory(ran: None, subject: Subject, gate: Concluding) -> None:
    """The first gate."""
    found = gate(verdict("memory", [at_least("figure", judged("memory", subject), 0.9)]))
    assert found.is_pass, str(found)


@pytest.mark.gate("quality")
def test_quality(ran: None, subject: Subject, gate: Concluding) -> None:
    """The second gate."""
    found = gate(verdict("quality", [at_least("figure", judged("quality", subject), 0.9)]))
    assert found.is_pass, str(found)


@pytest.mark.gate("speedup")
def test_speedup(ran: None, subject: Subject, gate: Concluding) -> None:
    """The third gate."""
    found = gate(verdict("speedup", [at_least("figure", judged("speedup", subject), 0.9)]))
    assert found.is_pass, str(found)
