"""Results that wait for their block, appended one by one: each is on disk before the next prompt is handed out."""

import os
import struct
import zlib
from contextlib import suppress
from pathlib import Path
from typing import IO

from nearlossless.evaluation.parquet import from_message, to_message
from nearlossless.evaluation.results import PromptResult

_HEAD = struct.Struct("<II")  # length and CRC-32 of the row that follows


class Journal:
    """A file of rows. Parquet has its index at its end and cannot grow by one row; a new file for each is slow."""

    def __init__(self, path: Path) -> None:
        """Nothing is opened before the first row."""
        self._path = path
        self._file: IO[bytes] | None = None

    def append(self, result: PromptResult) -> None:
        """Keep a row, durably."""
        if self._file is None:
            self._file = self._path.open("ab")
        row = to_message(result)
        self._file.write(_HEAD.pack(len(row), zlib.crc32(row)) + row)
        self._file.flush()
        os.fsync(self._file.fileno())

    def clear(self) -> None:
        """Forget all rows: they are somewhere else by now."""
        self.close()
        self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Rows stay."""
        if self._file is not None:
            self._file.close()
            self._file = None


def rows_in(path: Path) -> list[PromptResult]:
    """
    The rows of a journal, in the order of finishing. A last one that is not whole is what a crash left, and no row.

    Raises:
        ValueError: One before the last is damaged.
    """
    content = b""
    with suppress(FileNotFoundError):
        content = path.read_bytes()
    rows, start = [], 0
    while start + _HEAD.size <= len(content):
        length, checksum = _HEAD.unpack_from(content, start)
        end = start + _HEAD.size + length
        row = content[start + _HEAD.size : end]
        if not length or len(row) < length or zlib.crc32(row) != checksum:
            if length and end < len(content):
                raise ValueError(f"{path}: is damaged at byte {start}")
            break
        rows.append(from_message(row))
        start = end
    return rows
