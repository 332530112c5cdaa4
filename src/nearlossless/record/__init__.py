"""The record: everything one run measured, raw samples included, as JSON with a schema version."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from nearlossless.atomic import write_bytes
from nearlossless.fields import Int64
from nearlossless.record.part import Part
from nearlossless.record.shard import Shard
from nearlossless.record.subject import SubjectRecord

SCHEMA_VERSION: Final = 1
RECORD_FILE = "record.json"
LARGEST_RECORD = 1 << 27  # bytes: 10,000 subjects without pictures take 100 MB
LONGEST_VERSION = 40  # characters of it that a message quotes


class RecordError(Exception):
    """A record that cannot be read; names the file and what is wrong."""


def _is_time(text: str) -> str:
    """A time that can be held against others, of whatever zone."""
    try:
        time = datetime.fromisoformat(text)
        if time.tzinfo is not None and time.astimezone(UTC):
            return text
    except (ValueError, OverflowError):
        pass
    raise ValueError(f"{text!r} is no time with a zone, such as 2026-01-31T02:17:00+00:00")


class Record(Part):
    """One run."""

    schema_version: Literal[1]
    nearlossless_version: str
    started: Annotated[str, AfterValidator(_is_time)]
    command: str
    commit: str | None = None  # of the repository in which it was started
    variables: dict[str, str] | None = None  # environment variables; None in records from before they were kept
    subjects: list[SubjectRecord] = Field(default_factory=list)
    shard: Shard | None = None  # None: the whole run
    exit_status: Int64 | None = None  # of pytest; None in records of runs that did not tell it
    lacks: list[str] = Field(default_factory=list)  # what was to be in it and is not, as a missing shard


_AS_JSON = TypeAdapter(Record)  # unlike a model's own method it writes bytes: no copies of a large record as text


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def write_record(record: Record, folder: Path) -> Path:
    """Write `record.json` into a report folder."""
    path = folder / RECORD_FILE
    write_bytes(path, _AS_JSON.dump_json(record, indent=1) + b"\n")
    return path


def read_record(path: Path) -> Record:
    """
    Read a record.

    Raises:
        RecordError: Unreadable, or as `parse_record`.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_RECORD + 1)
    except OSError as error:
        raise RecordError(f"{path}: cannot be read ({error.strerror})") from None
    return parse_record(content, path)


def parse_record(content: bytes, path: Path) -> Record:
    """
    The record in the bytes of a file, of which one more than a record may have tells that it is too large.

    Raises:
        RecordError: Too large, not a record, or of another schema version; names the file.
    """
    if len(content) > LARGEST_RECORD:
        raise RecordError(f"{path}: is larger than {LARGEST_RECORD} bytes")
    try:
        return Record.model_validate_json(content)
    except ValidationError as error:
        if (version := _other_version(content)) is not None:
            told = f"its schema_version is {version}, and this nearlossless reads {SCHEMA_VERSION} only"
            raise RecordError(f"{path}: {told}: read it with the version that wrote it, or measure anew") from None
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "file"
        raise RecordError(f"{path}: is no record of schema {SCHEMA_VERSION}: {where}: {first['msg']}") from None


def _other_version(content: bytes) -> str | None:
    """The schema that a record says it is of; None if it is ours or says none."""
    try:
        version = json.loads(content).get("schema_version")
    except (ValueError, AttributeError, RecursionError):
        return None
    return None if version is None or version == SCHEMA_VERSION else json.dumps(version)[:LONGEST_VERSION]
