"""Files are the old ones or the new ones, never half of each."""

import os
from pathlib import Path
from typing import Any

import pytest

from nearlossless.atomic import write_all, write_bytes, write_text


def test_content_is_written(tmp_path: Path) -> None:
    """A new file holds what was given."""
    write_bytes(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"


def test_folders_are_made(tmp_path: Path) -> None:
    """Folders that are missing on the way are made."""
    write_bytes(tmp_path / "a" / "b" / "file", b"new")
    assert (tmp_path / "a" / "b" / "file").exists()


def test_old_file_is_replaced_whole(tmp_path: Path) -> None:
    """A shorter new file leaves nothing of a longer old one, and no other file."""
    write_bytes(tmp_path / "file", b"a long old content")
    write_bytes(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_error_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    """When writing raises, the old file stays and no temporary one does."""
    content: Any = "no bytes"
    write_bytes(tmp_path / "file", b"old")
    with pytest.raises(TypeError):
        write_bytes(tmp_path / "file", content)
    assert (tmp_path / "file").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError, SystemExit])
def test_interrupt_before_the_move_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    """An interruption or a full disk at the last moment leaves the old file and nothing else."""

    def interrupted(_: int) -> None:
        raise error

    write_bytes(tmp_path / "file", b"old")
    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(error):
        write_bytes(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_error_leaves_no_file_where_there_was_none(tmp_path: Path) -> None:
    """A first write that fails leaves an empty folder."""
    content: Any = None
    with pytest.raises(TypeError):
        write_bytes(tmp_path / "file", content)
    assert list(tmp_path.iterdir()) == []


def test_link_is_replaced_and_its_target_left_alone(tmp_path: Path) -> None:
    """Writing over a symbolic link replaces the link, so that nothing outside the folder changes."""
    (tmp_path / "target").write_bytes(b"untouched")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    write_bytes(tmp_path / "link", b"new")
    assert (tmp_path / "target").read_bytes() == b"untouched"
    assert not (tmp_path / "link").is_symlink()


def test_file_can_be_read_by_others(tmp_path: Path) -> None:
    """Reports are for others to read, so files do not keep the private mode of temporary ones."""
    write_bytes(tmp_path / "file", b"new")
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644


def test_text_is_utf8(tmp_path: Path) -> None:
    """Text is written as UTF-8, whatever the locale says."""
    write_text(tmp_path / "file", "± 夜\n")
    assert (tmp_path / "file").read_bytes() == "± 夜\n".encode()


def test_several_files_are_written(tmp_path: Path) -> None:
    """All of several files get their new content, in folders that are made for them."""
    contents = {tmp_path / "a" / "one": b"1", tmp_path / "b" / "c" / "two": b"2"}
    write_all(contents)
    assert {path: path.read_bytes() for path in contents} == contents


def test_one_file_that_fails_keeps_all_others(tmp_path: Path) -> None:
    """When one of several cannot be written, every old file stays, and no new file or folder does."""
    content: Any = "no bytes"
    write_bytes(tmp_path / "old", b"old")
    contents = {tmp_path / "old": b"new", tmp_path / "a" / "b" / "new": b"new", tmp_path / "last": content}
    with pytest.raises(TypeError):
        write_all(contents)
    assert (tmp_path / "old").read_bytes() == b"old"
    assert [path.name for path in tmp_path.rglob("*")] == ["old"]


def test_error_names_the_file(tmp_path: Path) -> None:
    """A file that cannot be written is named, not its temporary one."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match="file") as caught:
        write_all({tmp_path / "file" / "folder" / "new": b"new"})
    assert caught.value.filename is not None
