"""What is left of a run, by what former runs took."""

import pytest

from nearlossless.record import Record
from nearlossless.record.subject import SubjectRecord
from nearlossless.record.verdicts import VerdictRecord
from nearlossless.runs.remaining import Remaining, known_seconds

GATES = ["memory", "quality", "speedup"]


def key(gate: str) -> tuple[str, str, str, str]:
    """A gate of one subject."""
    return ("mini", "inductor", "cpu", gate)


@pytest.fixture
def remaining() -> Remaining:
    """Three gates that took 60, 120 and 300 seconds."""
    return Remaining([(f"test_{gate}", key(gate)) for gate in GATES], {key("memory"): 60.0, key("quality"): 120.0})


def test_each_gate_tells_of_itself_and_those_after_it(remaining: Remaining) -> None:
    """The sum of what all gates from this one on took before."""
    known = Remaining(remaining.gates, {**remaining.known, key("speedup"): 300.0})
    assert known.told("test_memory") == "memory: gate 1 of 3, about 8 min left by what they took before"
    assert known.told("test_speedup") == "speedup: gate 3 of 3, about 5 min left by what they took before"


def test_nothing_is_told_where_a_gate_is_new(remaining: Remaining) -> None:
    """A sum with a gap would promise too little; tests that are no gates have no place in it."""
    assert remaining.told("test_memory") is None
    assert remaining.told("test_something_else") is None


def record(hardware: str, seconds: float | None, full_record: Record) -> Record:
    """A run of one gate on some hardware."""
    template = full_record.subjects[0].fingerprint
    assert template is not None
    picture = template.timing.picture.model_copy(update={"hardware": hardware})
    timing = template.timing.model_copy(update={"picture": picture})
    verdict = VerdictRecord(gate="memory", outcome="PASS", reason="", test="test_memory", seconds=seconds)
    subject = SubjectRecord(
        case="mini",
        recipe="inductor",
        backend="inductor",
        device="cpu",
        thresholds=full_record.subjects[0].thresholds,
        fingerprint=template.model_copy(update={"timing": timing}),
        verdicts=[verdict],
    )
    return full_record.model_copy(update={"subjects": [subject]})


def test_the_newest_run_on_this_hardware_counts(full_record: Record) -> None:
    """Later records replace earlier ones; other hardware, and verdicts without a time, tell nothing."""
    runs = [("cpu-avx512", 50.0), ("cpu-avx512", 60.0), ("NVIDIA H20", 5.0), ("cpu-avx512", None)]
    records = [record(hardware, seconds, full_record) for hardware, seconds in runs]
    assert known_seconds(records, {"cpu-avx512"}) == {key("memory"): 60.0}
    assert known_seconds(records, {"NVIDIA H100"}) == {}
