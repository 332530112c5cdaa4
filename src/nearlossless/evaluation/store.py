"""The results folder: each finished prompt is on disk at once and exactly once, the ten worst with pictures."""

import heapq
import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import ValidationError

from nearlossless.atomic import write_bytes, write_text
from nearlossless.cases.case import CaseError
from nearlossless.evaluation.identity import RunIdentity
from nearlossless.evaluation.journal import Journal, rows_in
from nearlossless.evaluation.parquet import from_parquet, to_parquet
from nearlossless.evaluation.prompts import Prompt
from nearlossless.evaluation.results import Drawn, PromptResult, Rank, Status, unfinished

RUN_FILE, JOURNAL_FILE, ATTEMPT_FILE = "run.json", "journal.arrow", "attempt.json"
BLOCK = 64  # results in one file of the finished table
WORST = 10
MOST_ATTEMPTS = 2
ATTEMPT_WIDTH = 40  # so that the next number covers the last one
_PICTURE = re.compile(r"([0-9]{6,})\.(baseline|recipe)\.png")


class Store:
    """
    The results of one run, in a folder that this process holds while it is open.

    A finished prompt is a row of the journal; when all of a block of 64 are there, and at the end, its rows go into
    `blocks/`, in the order of drawing. `attempt.json` counts starts of a prompt that this whole process may die of.
    """

    def __init__(self, folder: Path, identity: RunIdentity) -> None:
        """
        Open or make the folder.

        Raises:
            CaseError: It holds the results of another run, or another process holds it.
            OSError: It cannot be written.
        """
        self.folder, self._identity = folder, identity
        self._journal = Journal(folder / JOURNAL_FILE)
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(folder / ".lock")
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise CaseError(f"{folder}: another evaluation is writing here") from None
        try:
            self._check_run()
            self._fold()  # what a crash left
            self._done = bytearray(identity.prompts)  # one byte a prompt
            self._worst = heapq.nsmallest(WORST, self._find_finished())
            self.count = sum(self._done)  # finished prompts
            self._forget_pictures()
        except BaseException:
            self._lock.release()
            raise

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave every result as Parquet, and let others write here."""
        try:
            with suppress(OSError, ValueError):  # the journal keeps what cannot be moved
                self._fold()
            self._journal.close()
        finally:
            self._lock.release()

    def _check_run(self) -> None:
        path = self.folder / RUN_FILE
        if not path.exists():
            strangers = [found.name for found in self.folder.iterdir() if found.name != ".lock"]
            if strangers:
                raise CaseError(f"{self.folder}: is not empty and no evaluation's; choose another with --results")
            self._write_run()
            return
        try:
            former = RunIdentity.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise CaseError(f"{path}: cannot be read: {error.errors()[0]['msg']}") from None
        changed = self._identity.differences(former)
        if changed and next(self.finished(), None) is None:  # nothing to be lost, as where no pipeline could be built
            self._write_run()
        elif changed:
            raise CaseError(
                f"{self.folder}: holds the results of another run, which cannot be gone on with:\n  "
                + "\n  ".join(changed)
                + "\n  choose another folder with --results, or remove this one to start anew"
            )
        elif self._identity.picture is None:
            self._identity = former

    def _write_run(self) -> None:
        write_text(self.folder / RUN_FILE, self._identity.model_dump_json(indent=1) + "\n")

    def confirm(self, picture: dict[str, Any], stack: dict[str, str]) -> None:
        """
        Compare what the pipelines turned out to be with what drew the results so far, or keep it.

        Raises:
            CaseError: Another picture identity or another software stack.
        """
        former = self._identity
        self._identity = former.model_copy(update={"picture": picture, "stack": stack})
        self._check_run()
        self._write_run()

    def _find_finished(self) -> Iterator[Rank]:
        for result in self.finished():
            self._done[result.number] = 1
            yield result.rank

    def is_finished(self, number: int) -> bool:
        """Whether a prompt has its result."""
        return bool(self._done[number])

    @property
    def cut(self) -> Rank | None:
        """Pictures of results above this rank are not wanted; None while any may be among the worst."""
        return self._worst[-1] if len(self._worst) == WORST else None

    def add(self, drawn: Drawn) -> None:
        """Keep a result, durably, and its pictures if it is among the worst."""
        result = drawn.result
        if self._done[result.number]:
            raise ValueError(f"prompt {result.number} has a result already")
        if self.cut is None or result.rank <= self.cut:
            for name, png in drawn.pictures.items():
                write_bytes(self.picture(result.number, name), png)
        self._journal.append(result)
        self._done[result.number] = 1
        self.count += 1
        self._worst = heapq.nsmallest(WORST, [*self._worst, result.rank])
        if drawn.pictures:
            self._forget_pictures()
        start = result.number // BLOCK * BLOCK
        if all(self._done[start : start + BLOCK]):
            self._fold()

    def _forget_pictures(self) -> None:
        """Remove those of prompts that are not among the worst; files of other names are somebody else's."""
        wanted = {number for _, number in self._worst}
        for path in (self.folder / "pictures").glob("*.png"):
            ours = _PICTURE.fullmatch(path.name)
            if ours is not None and int(ours[1]) not in wanted:
                path.unlink()

    def picture(self, number: int, name: str) -> Path:
        """Where a picture of a prompt lies, if it is among the worst."""
        return self.folder / "pictures" / f"{number:06}.{name}.png"

    def _fold(self) -> None:
        """Move the journal's rows into their blocks; those that a block holds already are what a crash left."""
        for block, waiting in _by_block(self.folder).items():
            path = self.folder / "blocks" / f"{block:06}.parquet"
            write_bytes(path, to_parquet(_merged(path, waiting, with_features=True)))
        self._journal.clear()

    def finished(self, *, with_features: bool = False) -> Iterator[PromptResult]:
        """Every result so far, in the order of drawing, read block by block."""
        return results_in(self.folder, with_features=with_features)

    def _starts(self, number: int) -> int:
        """How often a prompt was begun in a process that did not finish it; only the last one begun can be such."""
        with suppress(FileNotFoundError, ValueError, TypeError):
            last, starts = json.loads((self.folder / ATTEMPT_FILE).read_bytes())
            return int(starts) if last == number else 0
        return 0

    def _note_start(self, number: int, starts: int) -> None:
        """Not synced: what a process wrote outlives it, and a machine that dies costs one start more."""
        file = os.open(self.folder / ATTEMPT_FILE, os.O_WRONLY | os.O_CREAT, 0o644)  # a file cut short is synced
        try:
            os.write(file, json.dumps([number, starts]).ljust(ATTEMPT_WIDTH).encode())
        finally:
            os.close(file)

    def attempt(self, prompt: Prompt) -> Drawn | None:
        """
        Count a start of a prompt in this very process, which may not survive it.

        Returns:
            None: draw it. Or its result, if two processes died of it already.
        """
        before = self._starts(prompt.number)
        if before >= MOST_ATTEMPTS:
            problem = f"its process died while drawing it, {before} times"
            return Drawn(result=unfinished(prompt, Status.SET_ASIDE, problem), pictures={})
        self._note_start(prompt.number, before + 1)
        return None

    def give_up_attempt(self, prompt: Prompt) -> None:
        """The prompt's process is stopped, not dying: this start does not count."""
        self._note_start(prompt.number, max(0, self._starts(prompt.number) - 1))


def results_in(folder: Path, *, with_features: bool = False) -> Iterator[PromptResult]:
    """Every result in a folder, in the order of drawing, read block by block."""
    waiting = _by_block(folder)
    blocks = {int(path.stem) for path in (folder / "blocks").glob("*.parquet")}
    for block in sorted(blocks | waiting.keys()):
        path = folder / "blocks" / f"{block:06}.parquet"
        yield from _merged(path, waiting.get(block, ()), with_features=with_features)


def _by_block(folder: Path) -> dict[int, list[PromptResult]]:
    """The rows of the journal."""
    found: dict[int, list[PromptResult]] = {}
    for result in rows_in(folder / JOURNAL_FILE):
        found.setdefault(result.number // BLOCK, []).append(result)
    return found


def _merged(path: Path, waiting: Iterable[PromptResult], *, with_features: bool) -> list[PromptResult]:
    """Rows of a block and those that wait for it, each once, in the order of drawing."""
    there = from_parquet(path, with_features=with_features) if path.exists() else ()
    found = {result.number: result for result in (*there, *waiting)}
    return [found[number] for number in sorted(found)]
