"""Whether a run's record is kept in the history."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from nearlossless.history.store import newest
from nearlossless.plugin.keeping import history_folder, keep, prepare_history
from nearlossless.record import Record
from nearlossless.runs.run import Run


def config(**options: object) -> pytest.Config:
    """As much of pytest's as there has to be, with these options."""
    return cast("pytest.Config", SimpleNamespace(getoption=options.get, getini=lambda _name: ""))


def run(record: Record) -> Run:
    """One that has come to this record."""
    return cast("Run", SimpleNamespace(record=lambda: record))


def test_history_is_written(full_record: Record, tmp_path: Path) -> None:
    """The folder is made before anything is measured; the record is kept in it, and the terminal told where."""
    writing = config(history=str(tmp_path / "kept"))
    prepare_history(writing)
    assert (tmp_path / "kept").is_dir()
    told = keep(writing, run(full_record))
    (entry,) = newest(tmp_path / "kept", 10).entries
    assert (entry.record, told) == (full_record, f"history: {tmp_path / 'kept' / entry.name}")


@pytest.mark.parametrize("name", ["kept", "no/such/folder", "file"])
def test_history_is_read_only(full_record: Record, tmp_path: Path, name: str) -> None:
    """Where it is only read nothing is made or kept, whether there is such a folder or not; it is the history still."""
    (tmp_path / "kept").mkdir()
    (tmp_path / "file").touch()
    before = sorted(tmp_path.rglob("*"))
    reading = config(history=str(tmp_path / name), history_read_only=True)
    prepare_history(reading)
    assert keep(reading, run(full_record)) is None
    assert sorted(tmp_path.rglob("*")) == before
    assert history_folder(reading) == tmp_path / name


def test_read_only_without_a_history_is_harmless(full_record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    """The option alone, as with a repository variable that is not set, changes nothing."""
    monkeypatch.setenv("NEARLOSSLESS_HISTORY", "")
    reading = config(history_read_only=True)
    prepare_history(reading)
    assert (history_folder(reading), keep(reading, run(full_record))) == (None, None)
