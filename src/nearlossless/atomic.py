"""Files that are either the old ones or the new ones, never half of each."""

import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path


def write_all(contents: Mapping[Path, bytes]) -> None:
    """
    Write several files, all of them or none: each beside its place first, and only then all moved into place.

    A full disk shows while the old files are untouched. Between two moves only a crash can leave some old and some
    new; they are made in the order of `contents`.

    Raises:
        OSError: Something cannot be written; names the file.
    """
    made: list[Path] = []
    staged: dict[Path, Path] = {}
    try:
        for path, content in contents.items():
            made += _make_folder(path.parent)
            try:
                _stage(path, content, staged)
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(path)) from error
        for path, temporary in staged.items():
            temporary.replace(path)
    except BaseException:
        for temporary in staged.values():
            temporary.unlink(missing_ok=True)
        for folder in reversed(made):  # an empty folder of expected pictures would stand before another hardware's
            with suppress(OSError):
                folder.rmdir()
        raise


def _make_folder(folder: Path) -> list[Path]:
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return list(reversed(missing))


def _stage(path: Path, content: bytes, staged: dict[Path, Path]) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    staged[path] = Path(name)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    staged[path].chmod(0o644)


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` beside `path` and move it into place; on any error the old file stays as it was."""
    write_all({path: content})


def write_text(path: Path, content: str) -> None:
    """`write_bytes` for text in UTF-8."""
    write_bytes(path, content.encode("utf-8"))
