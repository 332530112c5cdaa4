"""The store: a folder with one file a run, named by the time at which it started and a random number."""

import os
import re
import stat
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from nearlossless.atomic import write_text
from nearlossless.record import LARGEST_RECORD, Record, RecordError, parse_record

_SUFFIX = ".json"
_TIME = "%Y%m%dT%H%M%SZ"
_NAME = re.compile(r"(\d{8}T\d{6}Z)-[0-9a-f]{32}\.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A kept record, its file's name, and when its run started."""

    name: str
    started: datetime
    record: Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The newest records, oldest first, and what was left out, each with its reason."""

    entries: list[Entry]
    skipped: list[str]


def append(record: Record, folder: Path) -> Path:
    """
    Keep a record in the store, which is made if it is not there yet, and return the path of its file.

    The name sorts by time, and 122 random bits keep runs of other processes and machines apart.

    Raises:
        OSError: It cannot be written.
    """
    started = datetime.fromisoformat(record.started).astimezone(UTC)
    path = folder / f"{started.strftime(_TIME)}-{uuid.uuid4().hex}{_SUFFIX}"
    write_text(path, record.model_dump_json() + "\n")
    return path


def newest(folder: Path, count: int) -> Loaded:
    """
    Load the newest `count` files of a store; no other file is opened.

    One that is damaged, of another schema, too large or a link is left out and named, and no older one takes its
    place. So is a file with another kind of name; hidden files and those that do not end in `.json` are not the
    store's.

    Raises:
        OSError: The folder cannot be read.
    """
    with os.scandir(folder) as files:
        found = [file.name for file in files if file.name.endswith(_SUFFIX) and not file.name.startswith(".")]
    times = {name: _started(name) for name in found}
    skipped = [f"{folder / name}: is not named like a kept record" for name in sorted(found) if times[name] is None]
    entries = []
    for name in sorted(name for name in found if times[name] is not None)[-count:]:
        started = times[name]
        assert started is not None
        try:
            entries.append(Entry(name=name, started=started, record=_read(folder / name)))
        except RecordError as error:
            skipped.append(str(error))
    return Loaded(entries=entries, skipped=skipped)


def _started(name: str) -> datetime | None:
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    try:
        return datetime.strptime(match[1], _TIME).replace(tzinfo=UTC)
    except ValueError:
        return None


def _read(path: Path) -> Record:
    """Read a record as an untrusted file: no link, no pipe, no more than a record's size."""
    try:
        # Without NONBLOCK a pipe of that name would wait for somebody to write into it.
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise RecordError(f"{path}: is no regular file")
            with os.fdopen(handle, "rb", closefd=False) as file:
                content = file.read(LARGEST_RECORD + 1)
        finally:
            os.close(handle)
    except OSError as error:
        reason = "is a link" if path.is_symlink() else f"cannot be read ({error.strerror})"
        raise RecordError(f"{path}: {reason}") from None
    return parse_record(content, path)
