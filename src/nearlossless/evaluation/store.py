"""The results folder: each finished prompt is on disk at once and exactly once, the ten worst with pictures."""

import heapq
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import ValidationError

from nearlossless.atomic import write_bytes, write_text
from nearlossless.cases import CaseError
from nearlossless.evaluation.identity import RunIdentity
from nearlossless.evaluation.parquet import from_parquet, to_parquet
from nearlossless.evaluation.prompts import Prompt
from nearlossless.evaluation.results import Drawn, PromptResult, Rank, Status, unfinished

RUN_FILE = "run.json"
BLOCK = 64  # results in one file of the finished table
WORST = 10
MOST_ATTEMPTS = 2


class Store:
    """
    The results of one run, in a folder that this process holds while it is open.

    `finished/` has one file for each finished prompt; when all of a block of 64 are there, `blocks/` gets them in the
    order of drawing, and the single files go. `attempts/` counts starts of prompts that a whole process may die of.
    """

    def __init__(self, folder: Path, identity: RunIdentity) -> None:
        """
        Open or make the folder.

        Raises:
            CaseError: It holds the results of another run, or another process holds it.
            OSError: It cannot be written.
        """
        self.folder, self._identity = folder, identity
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(folder / ".lock")
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise CaseError(f"{folder}: another evaluation is writing here") from None
        try:
            self._check_run()
            self._done = self._find_finished()
            self.count = sum(self._done)  # finished prompts
            self._worst = heapq.nsmallest(WORST, (result.rank for result in self.finished()))
            self._forget_pictures()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let others write here."""
        self._lock.release()

    def _check_run(self) -> None:
        path = self.folder / RUN_FILE
        if not path.exists():
            strangers = [found.name for found in self.folder.iterdir() if found.name != ".lock"]
            if strangers:
                raise CaseError(f"{self.folder}: is not empty and no evaluation's; choose another with --results")
            write_text(path, self._identity.model_dump_json(indent=1) + "\n")
            return
        try:
            former = RunIdentity.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise CaseError(f"{path}: cannot be read: {error.errors()[0]['msg']}") from None
        if changed := self._identity.differences(former):
            raise CaseError(
                f"{self.folder}: holds the results of another run, which cannot be gone on with:\n  "
                + "\n  ".join(changed)
                + "\n  choose another folder with --results, or remove this one to start anew"
            )
        if self._identity.picture is None:
            self._identity = former

    def confirm(self, picture: dict[str, Any], stack: dict[str, str]) -> None:
        """
        Compare what the pipelines turned out to be with what drew the results so far, or keep it.

        Raises:
            CaseError: Another picture identity or another software stack.
        """
        former = self._identity
        self._identity = former.model_copy(update={"picture": picture, "stack": stack})
        self._check_run()
        write_text(self.folder / RUN_FILE, self._identity.model_dump_json(indent=1) + "\n")

    def _find_finished(self) -> bytearray:
        """One byte a prompt; single files that a block holds already are what a crash left."""
        done = bytearray(self._identity.prompts)
        for path in (self.folder / "finished").glob("*.parquet"):
            done[int(path.stem)] = 1
        for path in (self.folder / "blocks").glob("*.parquet"):
            for number in self._block_numbers(int(path.stem)):
                done[number] = 1
                self._path("finished", number).unlink(missing_ok=True)
        return done

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
        write_bytes(self._path("finished", result.number), to_parquet([result]))
        self._done[result.number] = 1
        self.count += 1
        self._worst = heapq.nsmallest(WORST, [*self._worst, result.rank])
        if drawn.pictures:
            self._forget_pictures()
        self._close_block(result.number // BLOCK)
        self._attempts(result.number).unlink(missing_ok=True)

    def _forget_pictures(self) -> None:
        wanted = {number for _, number in self._worst}
        for path in (self.folder / "pictures").glob("*.png"):
            if int(path.name.partition(".")[0]) not in wanted:
                path.unlink()

    def picture(self, number: int, name: str) -> Path:
        """Where a picture of a prompt lies, if it is among the worst."""
        return self.folder / "pictures" / f"{number:06}.{name}.png"

    def _path(self, kind: str, number: int) -> Path:
        return self.folder / kind / f"{number:06}.parquet"

    def _block_numbers(self, block: int) -> range:
        return range(block * BLOCK, min((block + 1) * BLOCK, self._identity.prompts))

    def _close_block(self, block: int) -> None:
        numbers = self._block_numbers(block)
        if not all(self._done[number] for number in numbers):
            return
        results = [self._single_result(number) for number in numbers]
        write_bytes(self._path("blocks", block), to_parquet(results))
        for number in numbers:
            self._path("finished", number).unlink()

    def _single_result(self, number: int) -> PromptResult:
        (result,) = from_parquet(self._path("finished", number), with_features=True)
        return result

    def finished(self, *, with_features: bool = False) -> Iterator[PromptResult]:
        """Every result so far, in the order of drawing, read block by block."""
        return results_in(self.folder, with_features=with_features)

    def _attempts(self, number: int) -> Path:
        return self.folder / "attempts" / f"{number:06}.json"

    def _attempts_so_far(self, number: int) -> int:
        with suppress(FileNotFoundError, ValueError):
            return int(json.loads(self._attempts(number).read_bytes()))
        return 0

    def attempt(self, prompt: Prompt) -> Drawn | None:
        """
        Count a start of a prompt in this very process, which may not survive it.

        Returns:
            None: draw it. Or its result, if two processes died of it already.
        """
        before = self._attempts_so_far(prompt.number)
        if before >= MOST_ATTEMPTS:
            problem = f"its process died while drawing it, {before} times"
            return Drawn(result=unfinished(prompt, Status.SET_ASIDE, problem), pictures={})
        write_text(self._attempts(prompt.number), json.dumps(before + 1))
        return None

    def give_up_attempt(self, prompt: Prompt) -> None:
        """The prompt's process is stopped, not dying: this start does not count."""
        write_text(self._attempts(prompt.number), json.dumps(max(0, self._attempts_so_far(prompt.number) - 1)))


def results_in(folder: Path, *, with_features: bool = False) -> Iterator[PromptResult]:
    """Every result in a folder, in the order of drawing, read block by block."""
    blocks = {int(path.stem): path for path in (folder / "blocks").glob("*.parquet")}
    singles: dict[int, list[Path]] = {}
    for path in sorted((folder / "finished").glob("*.parquet")):
        singles.setdefault(int(path.stem) // BLOCK, []).append(path)
    for block in sorted(blocks.keys() | singles.keys()):
        for path in [blocks[block]] if block in blocks else singles[block]:
            yield from from_parquet(path, with_features=with_features)
