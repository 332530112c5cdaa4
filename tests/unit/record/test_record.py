"""Records: written whole, read strictly."""

import json
import math
import re
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

import nearlossless.record
from nearlossless.environment import Fingerprint
from nearlossless.record import RECORD_FILE, Record, RecordError, now, read_record, write_record
from nearlossless.record.shard import MOST_SHARDS
from nearlossless.stacks.results import StackComparison, StackPair, StackSide


def changed(record: Record, folder: Path, **changes: Any) -> Path:
    """A record file with other values at its top."""
    path = write_record(record, folder)
    content = json.loads(path.read_text(encoding="utf-8")) | changes
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_record_comes_back_as_it_was(full_record: Record, tmp_path: Path) -> None:
    """Writing and reading loses nothing: verdicts, intervals, fingerprint, pictures and sizes."""
    assert read_record(write_record(full_record, tmp_path)) == full_record


def test_raw_samples_are_kept(full_record: Record, tmp_path: Path) -> None:
    """Every single latency is in the file."""
    content = json.loads(write_record(full_record, tmp_path).read_text(encoding="utf-8"))
    assert content["subjects"][0]["speeds"]["baseline_s"] == [1.0, 1.1, 1.05]
    assert content["subjects"][0]["cold_process"]["steady_s"] == [0.5, 0.5]


def test_infinite_interval_is_valid_json(full_record: Record, tmp_path: Path) -> None:
    """Ends that are infinite are written so that any JSON reader takes them, and read back as infinite."""

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    path = write_record(full_record, tmp_path)
    json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
    assert read_record(path).subjects[0].verdicts[0].checks[0].interval == (0.0, math.inf)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_figure_that_is_no_number_comes_back(full_record: Record, tmp_path: Path, value: float) -> None:
    """A figure that was NaN or infinite is still that after a round trip, not missing."""
    full_record.subjects[0].verdicts[0].checks[0].obtained = value
    back = read_record(write_record(full_record, tmp_path)).subjects[0].verdicts[0].checks[0].obtained
    assert back is not None
    assert repr(back) == repr(value)


def test_process_seconds_that_are_no_number_come_back(full_record: Record, tmp_path: Path) -> None:
    """A process whose seconds are NaN does not make the whole record unreadable."""
    subject = full_record.subjects[0]
    assert subject.cold_process is not None
    subject.cold_process = subject.cold_process.model_copy(update={"load_s": math.nan})
    back = read_record(write_record(full_record, tmp_path)).subjects[0].cold_process
    assert back is not None
    assert math.isnan(back.load_s)


def test_record_has_its_fixed_name(full_record: Record, tmp_path: Path) -> None:
    """A report folder holds its record under one name."""
    assert write_record(full_record, tmp_path) == tmp_path / RECORD_FILE


@pytest.mark.parametrize("version", [0, 2, "1.1", None])
def test_another_schema_is_refused(full_record: Record, tmp_path: Path, version: object) -> None:
    """A record of another schema version is an error that names file and key."""
    path = changed(full_record, tmp_path, schema_version=version)
    with pytest.raises(RecordError, match="schema_version") as caught:
        read_record(path)
    assert str(path) in str(caught.value)


def test_record_without_schema_is_refused(full_record: Record, tmp_path: Path) -> None:
    """A record that does not say its schema version is not guessed to be of this one."""
    path = write_record(full_record, tmp_path)
    content = json.loads(path.read_text(encoding="utf-8"))
    del content["schema_version"]
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(RecordError, match="schema_version"):
        read_record(path)


def test_unknown_key_is_refused(full_record: Record, tmp_path: Path) -> None:
    """A key that this schema does not know is an error that names it."""
    with pytest.raises(RecordError, match="surprise"):
        read_record(changed(full_record, tmp_path, surprise=1))


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"null", b"\xff\xfe", b'{"schema_version": 1}'])
def test_damaged_file_is_a_record_error(tmp_path: Path, content: bytes) -> None:
    """What is no record is an error that names the file."""
    path = tmp_path / RECORD_FILE
    path.write_bytes(content)
    with pytest.raises(RecordError, match=RECORD_FILE):
        read_record(path)


def test_truncated_file_is_a_record_error(full_record: Record, tmp_path: Path) -> None:
    """A record that was cut short is an error."""
    path = write_record(full_record, tmp_path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(RecordError):
        read_record(path)


@pytest.mark.parametrize("part", ["verdict", "check"])
def test_word_that_is_no_outcome_is_refused(full_record: Record, tmp_path: Path, part: str) -> None:
    """A record that somebody wrote by hand cannot pass by a word of its own; the error names the field."""
    path = write_record(full_record, tmp_path)
    content = json.loads(path.read_text(encoding="utf-8"))
    verdict = content["subjects"][0]["verdicts"][0]
    (verdict if part == "verdict" else verdict["checks"][0])["outcome"] = "FINE"
    path.write_text(json.dumps(content), encoding="utf-8")
    where = r"subjects\.0\.verdicts\.0\." + ("checks\\.0\\." if part == "check" else "") + "outcome"
    with pytest.raises(RecordError, match=where):
        read_record(path)


def with_stacks(record: Record) -> Record:
    """The record with a comparison of two software stacks."""
    fingerprint = record.subjects[0].fingerprint
    assert isinstance(fingerprint, Fingerprint)
    side = StackSide(fingerprint=fingerprint, load_s=1.0, first_call_s=2.0, peak_kind="resident", peak_bytes=1000)
    record.subjects[0].stacks = StackComparison(there=side, here=side, pairs=[StackPair(there_s=[1.0], here_s=[1.0])])
    return record


def damaged(record: Record, folder: Path, where: str, value: object) -> Path:
    """A record file with another value at one place of its first subject."""
    path = write_record(with_stacks(record), folder)
    content = json.loads(path.read_text(encoding="utf-8"))
    *parents, last = where.split(".")
    part = content["subjects"][0]
    for name in parents:
        part = part[int(name) if isinstance(part, list) else name]
    part[last] = value
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("case", "a\x00b"),
        ("case", "../elsewhere"),
        ("recipe", "a\x1bb"),
        ("recipe", "a/b"),
        ("device", "cpu\x00"),
        ("thresholds.min_speedup", 1e12),
        ("verdicts.0.seconds", "Infinity"),
        ("cold_process.steady_s", []),
        ("cold_process.peaks.steady_bytes", 2**63),
        ("cold_process.rounds.drawn", []),
        ("cold_process.rounds.host_bytes", [1]),
        ("speeds.baseline_phases.0.later_steps", 10**400),
        ("stacks.pairs", []),
        ("stacks.pairs.0.there_s", []),
        ("stacks.pairs.0.here_s", []),
        ("stacks.here.peak_bytes", -(2**63) - 1),
    ],
)
def test_damaged_part_is_refused_by_name(full_record: Record, tmp_path: Path, where: str, value: object) -> None:
    """What no run writes, and no report could show, is an error that names file and field."""
    path = damaged(full_record, tmp_path, where, value)
    field = where.removesuffix(".host_bytes")  # its length is a matter of all rounds
    with pytest.raises(RecordError, match=re.escape(f"subjects.0.{field}: ")) as caught:
        read_record(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("recipe", "my_package.Backends.fast"),
        ("cold_process.steady_s", [0.5]),
        ("cold_process.peaks.steady_bytes", 2**63 - 1),
        ("cold_process.rounds.host_bytes", []),
        ("stacks.here.peak_bytes", -(2**63)),
        ("pictures.0.prompt", "a\x00b\x1b[31m \u202e$\\frac$"),
    ],
)
def test_whatever_a_run_may_write_is_read(full_record: Record, tmp_path: Path, where: str, value: object) -> None:
    """The other side of those limits: also a silent system's rounds, a backend's name as a recipe's, any prompt."""
    assert read_record(damaged(full_record, tmp_path, where, value)).subjects


@pytest.mark.parametrize("started", ["yesterday", "2026-01-31T02:17:00", "0001-01-01T00:00:00+14:00", ""])
def test_start_is_a_time_that_can_be_compared(full_record: Record, tmp_path: Path, started: str) -> None:
    """A start that cannot be held against those of other runs is refused by name; one of any zone is read."""
    assert read_record(changed(full_record, tmp_path, started="2026-01-31T02:17:00-08:00")).started.endswith("-08:00")
    with pytest.raises(RecordError, match=r"started: .*no time with a zone"):
        read_record(changed(full_record, tmp_path, started=started))


@pytest.mark.parametrize("beyond", [0, 1])
def test_shards_are_as_many_as_can_be_named(full_record: Record, tmp_path: Path, beyond: int) -> None:
    """A shard of billions would fill memory with the names of those that are missing, and is refused."""
    path = changed(full_record, tmp_path, shard={"number": 1, "of": MOST_SHARDS + beyond})
    with pytest.raises(RecordError, match=r"shard\.of") if beyond else nullcontext():
        read_record(path)


@pytest.mark.parametrize("beyond", [0, 1])
def test_size_is_limited(full_record: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, beyond: int) -> None:
    """A record of the largest size is read, and one byte more is refused without being parsed."""
    path = write_record(full_record, tmp_path)
    limit = path.stat().st_size - beyond
    monkeypatch.setattr(nearlossless.record, "LARGEST_RECORD", limit)
    with pytest.raises(RecordError, match=f"is larger than {limit} bytes") if beyond else nullcontext():
        read_record(path)


def test_missing_file_is_a_record_error(tmp_path: Path) -> None:
    """A file that does not exist is an error that names it."""
    with pytest.raises(RecordError, match="cannot be read"):
        read_record(tmp_path / RECORD_FILE)


def test_title_names_case_recipe_and_device(full_record: Record) -> None:
    """A subject is called by case, recipe and device."""
    assert full_record.subjects[0].title == "miniature / inductor / cpu"


def test_time_is_in_utc() -> None:
    """Times are written in UTC, to the second."""
    assert now().endswith("+00:00")
    assert "." not in now()
