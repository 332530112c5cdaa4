"""What workers leave, and what is made of it."""

from pathlib import Path

import pytest

from nearlossless.record import Record, RecordError
from nearlossless.record.shard import Shard
from nearlossless.runs.parts import Running, SubjectPart, join_parts, read_part, write_part
from nearlossless.verdicts import Outcome

RUNNING = Running(gate="quality", test="test_quality.py::test_quality[b]")


def test_part_comes_back_whole(full_record: Record, tmp_path: Path) -> None:
    """A part is read as it was written, the record with all its samples among it."""
    part = SubjectPart(id="a", rank=3, record=full_record.subjects[0], running=RUNNING, candidates=[tmp_path / "x.png"])
    write_part(part, tmp_path)
    assert read_part(tmp_path, "a") == part


def test_part_that_is_not_there_is_none(tmp_path: Path) -> None:
    """The first worker of a subject finds nothing to go on from."""
    assert read_part(tmp_path, "a") is None


def test_parts_are_joined_as_collected(full_record: Record, tmp_path: Path) -> None:
    """Subjects stand in the order in which they were collected, whoever judged them, with all candidates."""
    (record,) = full_record.subjects
    shard = Shard(number=2, of=3, selection="abc")
    for rank, name in ((1, "a"), (0, "b")):
        part = SubjectPart(id=name, rank=rank, record=record, candidates=[tmp_path / name], shard=shard)
        write_part(part, tmp_path)
    joined = join_parts(tmp_path)
    assert list(joined.subjects) == ["b", "a"]
    assert joined.subjects["a"] == record
    assert joined.candidates == {tmp_path / "a", tmp_path / "b"}
    assert joined.shard == shard


def test_skipped_subject_has_no_record(tmp_path: Path) -> None:
    """A subject of which nothing was judged is none of the run's, as without workers."""
    write_part(SubjectPart(id="a"), tmp_path)
    assert join_parts(tmp_path).subjects == {}


def test_gate_in_whose_middle_a_worker_died_is_no_pass(full_record: Record, tmp_path: Path) -> None:
    """A gate that began and never ended is NOT_COMPARABLE; the other verdicts stay."""
    (record,) = full_record.subjects
    write_part(SubjectPart(id="a", record=record, running=RUNNING), tmp_path)
    verdicts = join_parts(tmp_path).subjects["a"].verdicts
    assert verdicts[:-1] == record.verdicts
    assert (verdicts[-1].outcome, verdicts[-1].test) == (Outcome.NOT_COMPARABLE, RUNNING.test)


@pytest.mark.parametrize("content", ["", "{", '{"id": "a", "strange": 1}'])
def test_damaged_part_is_named(tmp_path: Path, content: str) -> None:
    """A part that cannot be read is an error with its path, not a subject less."""
    (tmp_path / "a.json").write_text(content, encoding="utf-8")
    with pytest.raises(RecordError, match=r"a\.json"):
        join_parts(tmp_path)
