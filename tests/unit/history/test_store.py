"""The store of records: what is kept, what is loaded, and what of a stranger's folder is refused."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.history.conftest import Night

from nearlossless.history.store import append, newest
from nearlossless.record import LARGEST_RECORD, Record


def small(day: int, number: int = 0) -> tuple[str, str]:
    """Name and content of a kept record without subjects."""
    started = f"2026-01-{day:02}T03:00:00+00:00"
    record = Record(schema_version=1, nearlossless_version="0.1.0", started=started, command="pytest")
    return f"202601{day:02}T030000Z-{number:032x}.json", record.model_dump_json()


def write(folder: Path, day: int, content: str | None = None) -> Path:
    """Put a file of a day into the store, a sound one unless told otherwise."""
    name, sound = small(day)
    (folder / name).write_text(sound if content is None else content, encoding="utf-8")
    return folder / name


def test_kept_record_comes_back_whole(full_record: Record, tmp_path: Path) -> None:
    """What is appended is loaded again, with nothing lost and its time of start."""
    append(full_record, tmp_path / "new" / "store")
    (entry,) = newest(tmp_path / "new" / "store", 5).entries
    assert (entry.record, entry.started.isoformat()) == (full_record, full_record.started)


def test_newest_are_loaded_oldest_first(night: Night, tmp_path: Path) -> None:
    """Of records appended in any order the newest are taken, and lined up by time."""
    for day in (3, 0, 2, 1):
        append(night(day), tmp_path)
    assert [entry.started.day for entry in newest(tmp_path, 3).entries] == [2, 3, 4]


def test_times_of_other_zones_are_sorted_in_utc(full_record: Record, tmp_path: Path) -> None:
    """A run that started earlier comes first, whatever its clock's zone said."""
    for started in ("2026-01-01T05:00:00+02:00", "2026-01-01T04:00:00+00:00"):
        append(full_record.model_copy(update={"started": started}), tmp_path)
    assert [entry.started.hour for entry in newest(tmp_path, 2).entries] == [3, 4]


def test_runs_of_the_same_second_do_not_collide(full_record: Record, tmp_path: Path) -> None:
    """Many writers at once that started in the same second keep a file each."""
    writers = [threading.Thread(target=append, args=(full_record, tmp_path)) for _ in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(newest(tmp_path, 100).entries) == 8


def test_failed_write_leaves_no_file(full_record: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full leaves neither half a record nor a stray file."""

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        append(full_record, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_only_the_newest_files_are_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Among 10,000 records, loading the newest 60 opens 60 files."""
    for number in range(10_000):
        name, content = small(1 + number % 28, number)
        (tmp_path / name).write_bytes(content.encode())
    opened = []
    original = os.open

    def counted(path: Path, flags: int) -> int:
        opened.append(path)
        return original(path, flags)

    monkeypatch.setattr(os, "open", counted)
    assert len(newest(tmp_path, 60).entries) == 60
    assert len(opened) == 60


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "is no record"),
        (small(2)[1][:-20], "is no record"),
        (small(2)[1].replace('"schema_version":1', '"schema_version":2'), "schema_version"),
        (small(2)[1].replace("{", '{"surplus":1,', 1), "surplus"),
        ("[" * 100_000, "is no record"),
    ],
    ids=["empty", "torn", "other-schema", "unknown-key", "deep"],
)
def test_damaged_record_is_named_and_skipped(tmp_path: Path, content: str, reason: str) -> None:
    """A record that cannot be read costs only itself, and is named."""
    write(tmp_path, 1)
    bad = write(tmp_path, 2, content)
    write(tmp_path, 3)
    loaded = newest(tmp_path, 10)
    assert [entry.started.day for entry in loaded.entries] == [1, 3]
    assert [str(bad) in skipped and reason in skipped for skipped in loaded.skipped] == [True]


def test_no_older_record_takes_the_place_of_a_damaged_one(tmp_path: Path) -> None:
    """A folder full of damaged records is not read to its end."""
    write(tmp_path, 1)
    write(tmp_path, 2, "")
    write(tmp_path, 3)
    assert [entry.started.day for entry in newest(tmp_path, 2).entries] == [3]


@pytest.mark.parametrize("size", [LARGEST_RECORD, LARGEST_RECORD + 1])
def test_size_is_limited(tmp_path: Path, size: int) -> None:
    """A record of the largest size is read, and one byte more is refused without being parsed."""
    path = write(tmp_path, 1)
    sound = path.read_bytes()
    path.write_bytes(sound + b" " * (size - len(sound)))
    loaded = newest(tmp_path, 1)
    assert [len(loaded.entries), len(loaded.skipped)] == ([1, 0] if size == LARGEST_RECORD else [0, 1])


def test_page_tells_the_limit() -> None:
    """docs/history.md names the size above which no record is read."""
    page = Path(__file__).parents[3] / "docs" / "history.md"
    assert f"none above {LARGEST_RECORD >> 20} MiB is read" in page.read_text(encoding="utf-8")


def test_link_is_not_followed(tmp_path: Path) -> None:
    """A link, to a sound record even, is named and not read."""
    (tmp_path / "store").mkdir()
    target = write(tmp_path, 1)
    (tmp_path / "store" / small(2)[0]).symlink_to(target)
    loaded = newest(tmp_path / "store", 5)
    assert loaded.entries == []
    assert "is a link" in loaded.skipped[0]


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_skipped(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """A pipe would wait for ever and a folder holds no bytes: both are named."""
    make(tmp_path / small(1)[0])
    loaded = newest(tmp_path, 5)
    assert [len(loaded.entries), len(loaded.skipped)] == [0, 1]
    assert "is no regular file" in loaded.skipped[0]


@pytest.mark.parametrize("name", ["record.json", f"20261399T030000Z-{0:032x}.json", f"20260101T030000Z-{0:031x}.json"])
def test_other_names_are_named(tmp_path: Path, name: str) -> None:
    """A record under a name that is not the store's is never counted, and never passed over in silence."""
    (tmp_path / name).write_text(small(1)[1], encoding="utf-8")
    loaded = newest(tmp_path, 5)
    assert loaded.entries == []
    assert name in loaded.skipped[0]


def test_files_that_are_nobodys_records_are_ignored(tmp_path: Path) -> None:
    """What a crash left behind, a README and a .git folder are none of the store's business."""
    (tmp_path / f".{small(1)[0]}.x").write_text("half", encoding="utf-8")
    (tmp_path / "README.md").write_text("ours", encoding="utf-8")
    (tmp_path / ".git").mkdir()
    loaded = newest(tmp_path, 5)
    assert (loaded.entries, loaded.skipped) == ([], [])
