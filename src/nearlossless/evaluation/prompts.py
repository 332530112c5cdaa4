"""The prompts of an evaluation: a file, checked line by line, in the order in which they are drawn."""

import csv
import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nearlossless.cases.case import CaseError

HELD_OUT = "miniature:held-out"
HELD_OUT_PROMPTS = 1000
TEXT_COLUMNS = ("prompt", "caption")
MOST_CHARACTERS = 2000  # as in a case
_JSON_LINES = (".jsonl", ".ndjson")
_MOST_SEED = 2**63


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt. `number` is its place in the order of drawing, `line` its place in the file, from 1."""

    number: int
    line: int
    text: str
    seed: int


class PromptSet:
    """
    All prompts, in the order of drawing when iterated over, as often as one likes.

    They lie in a temporary database on disk, so that no list of theirs grows with their number.
    """

    def __init__(self, source: str) -> None:
        self.source, self.sha256 = source, ""
        self._count = 0
        self._rows = sqlite3.connect("")  # gone with this process
        self._rows.executescript(
            "PRAGMA journal_mode = OFF;"
            "CREATE TABLE prompts (place BLOB, line INTEGER, text TEXT, seed INTEGER, PRIMARY KEY (place, line))"
            " WITHOUT ROWID;"
            "CREATE TABLE seen (key BLOB PRIMARY KEY, line INTEGER) WITHOUT ROWID;"
        )

    def fill(self, rows: "Iterable[tuple[bytes, int, str, int]]") -> None:
        """
        Take key, line, text and seed of each prompt, in the order of the file.

        Raises:
            CaseError: There is none, or two have the same key.
        """
        digest = hashlib.sha256()
        for key, *row in rows:
            line, text, seed = row
            digest.update(json.dumps(row).encode())
            place = hashlib.sha256(json.dumps([text, seed]).encode()).digest()
            try:
                self._rows.execute("INSERT INTO seen VALUES (?, ?)", (key, line))
            except sqlite3.IntegrityError:
                ((former,),) = self._rows.execute("SELECT line FROM seen WHERE key = ?", (key,))
                raise CaseError(
                    f"{self.source}, line {line}: the same prompt stands in line {former}:"
                    " give each its own 'seed' or 'id', or remove one"
                ) from None
            self._rows.execute("INSERT INTO prompts VALUES (?, ?, ?, ?)", (place, *row))
            self._count += 1
        if not self._count:
            raise CaseError(f"{self.source}: has no prompt")
        self._rows.execute("DROP TABLE seen")
        self._rows.commit()
        self.sha256 = digest.hexdigest()

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Prompt]:
        found = self._rows.execute("SELECT line, text, seed FROM prompts ORDER BY place, line")
        for number, (line, text, seed) in enumerate(found):
            yield Prompt(number, line, text, seed)


def read_prompts(source: str, *, first_seed: int) -> PromptSet:
    """
    Read JSON Lines or tab-separated values with a header, or take the miniature's own captions.

    Prompts are drawn in the order of a hash, which has nothing to do with that of the file: any prefix of a sorted file
    is then a sample of all of it.

    Args:
        source: A file that ends in .jsonl, .ndjson or .tsv, with `prompt` or `caption` and perhaps `seed` and
            `id` for each prompt; or `miniature:held-out`.
        first_seed: Of the initial latents of the file's first prompt without a seed of its own; each later one's is one
            higher.

    Raises:
        CaseError: The file cannot be read or used; names line and reason.
    """
    if source == HELD_OUT:
        from nearlossless.miniature.world import held_out_scenes

        rows: Iterator[tuple[int, Mapping[str, Any]]] = (
            (number, {"prompt": scene.caption}) for number, scene in enumerate(held_out_scenes(HELD_OUT_PROMPTS), 1)
        )
    else:
        rows = _rows(Path(source))
    prompts = PromptSet(source)
    prompts.fill(_checked(source, rows, first_seed))
    return prompts


def _rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Each prompt's line number and fields."""
    suffix = path.suffix.lower()
    if suffix not in (*_JSON_LINES, ".tsv"):
        raise CaseError(f"{path}: prompts are read from {', '.join(_JSON_LINES)} (JSON Lines), .tsv or '{HELD_OUT}'")
    try:
        with path.open("rb") as file:
            lines = _decoded(path, file)
            yield from _json_rows(path, lines) if suffix in _JSON_LINES else _tab_rows(path, lines)
    except OSError as error:
        raise CaseError(f"{path}: cannot be read ({error.strerror})") from None


def _decoded(path: Path, lines: Iterable[bytes]) -> Iterator[str]:
    """Line by line, so that the one which is not UTF-8 can be named."""
    for number, line in enumerate(lines, 1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise CaseError(f"{path}, line {number}: is not UTF-8 ({error.reason} at byte {error.start})") from None


def _json_rows(path: Path, lines: Iterable[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise CaseError(f"{path}, line {number}: is no JSON: {error}") from None
        if not isinstance(row, dict):
            raise CaseError(f"{path}, line {number}: is no JSON object with a 'prompt'")
        yield number, row


def _tab_rows(path: Path, lines: Iterable[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    rows = ((number, _fields(path, number, line)) for number, line in enumerate(lines, 1))
    filled = (row for row in rows if row[1])
    _, names = next(filled, (0, list[str]()))
    if not set(TEXT_COLUMNS) & set(names):
        raise CaseError(f"{path}: has no column {' or '.join(map(repr, TEXT_COLUMNS))}; it has: {', '.join(names)}")
    for number, fields in filled:
        if len(fields) != len(names):
            raise CaseError(f"{path}, line {number}: has not the {len(names)} columns of the header")
        yield number, dict(zip(names, fields, strict=True))


def _fields(path: Path, number: int, line: str) -> list[str]:
    """Of one line: a prompt has no line break, so that half a pair of quotes takes no later prompts along."""
    try:
        return next(csv.reader([line], delimiter="\t", strict=True))
    except csv.Error as error:
        told = "quotes around a prompt end in its own line, and those within are doubled"
        raise CaseError(f"{path}, line {number}: is not tab-separated ({error}): {told}") from None


def _checked(
    source: str, rows: Iterable[tuple[int, Mapping[str, Any]]], first_seed: int
) -> Iterator[tuple[bytes, int, str, int]]:
    """
    Key, line, text and seed of each prompt; no two prompts have the same key.

    Lists of captions of many pictures hold the same words more than once (MLPerf's 28 times), told apart by their `id`.
    """
    for place, (line, row) in enumerate(rows):
        where = f"{source}, line {line}"
        text = next((row[name] for name in TEXT_COLUMNS if name in row), None)
        if not isinstance(text, str):
            raise CaseError(f"{where}: has no text under {' or '.join(map(repr, TEXT_COLUMNS))}")
        if not text.strip():
            raise CaseError(f"{where}: the prompt is empty")
        if len(text) > MOST_CHARACTERS:
            raise CaseError(f"{where}: the prompt has {len(text)} characters, at most {MOST_CHARACTERS} are drawn")
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise CaseError(f"{where}: the prompt is not UTF-8: it holds half of a character, a lone surrogate")
        own_seed = _seed(row.get("seed"), where)
        key = hashlib.sha256(json.dumps([own_seed, row.get("id"), text]).encode()).digest()
        yield key, line, text, (first_seed + place) % _MOST_SEED if own_seed is None else own_seed


def _seed(value: Any, where: str) -> int | None:
    if value is None or value == "":
        return None
    try:
        seed = int(value) if isinstance(value, int | str) and not isinstance(value, bool) else -1
    except ValueError:
        seed = -1
    if not 0 <= seed < _MOST_SEED:
        raise CaseError(f"{where}: a seed is a whole number from 0 to 2^63 - 1, not {value!r}")
    return seed
