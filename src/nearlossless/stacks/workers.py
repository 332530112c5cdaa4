"""The parent's side of `serving.py`: the workers of both stacks, side by side, or in turn where they do not fit."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self

from nearlossless.backends import BackendError, BackendUnavailable
from nearlossless.cases.case import CaseError
from nearlossless.effect import Effect
from nearlossless.measuring import BaselineError
from nearlossless.processes.job import Job
from nearlossless.processes.parent import OutOfMemory, WorkerError, WorkerProcess
from nearlossless.progress import Progress
from nearlossless.speed.timing import warm_up
from nearlossless.stacks.results import SIDES, Side
from nearlossless.stacks.serving import Built, Drawn, Order


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """One environment: its interpreter, and all environment variables of its worker."""

    python: Path
    environment: Mapping[str, str]


class Workers:
    """
    The workers of both stacks for one job; which is in memory, and since when, is decided here.

    Whatever goes wrong there is a BaselineError: there is nothing to compare with. What goes wrong here is raised as
    it is, and so is OutOfMemory of either while both are in memory.
    """

    def __init__(
        self, stacks: Mapping[Side, Stack], job: Job, progress: Progress, *, takes_turns: bool, limit_s: float
    ) -> None:
        self.takes_turns = takes_turns
        self.built: dict[Side, Built] = {}
        self._stacks, self._job, self._progress, self._limit_s = stacks, job, progress, limit_s
        self._open: dict[Side, WorkerProcess] = {}
        self._unmeasured: set[Side] = set()  # their peak is still that of the first calls

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for side in [*self._open]:
            self._end(side)

    def _end(self, side: Side) -> None:
        self._open.pop(side).close()

    def start_both(self) -> None:
        """Where both stay in memory, start both and warm them up in turn before either is measured."""
        if not self.takes_turns:
            self._warm_up({side: self._started(side) for side in SIDES})

    @property
    def pids(self) -> list[int]:
        """Of the workers in memory."""
        return [worker.pid for worker in self._open.values()]

    @property
    def resident_first(self) -> list[Side]:
        """Both sides, first the one that is in memory."""
        return sorted(SIDES, key=lambda side: side not in self._open)

    def draw(self, side: Side, batch: int = 0, *, folder: Path | None = None) -> Drawn:
        """One call of a side's pipeline, which is started and warmed up if it is not in memory."""
        worker = self._worker(side)
        order = Order(
            do="draw",
            batch=batch,
            folder=str(folder) if folder is not None else None,
            resets_peak=side in self._unmeasured,
        )
        with self._blamed(side):
            answer = Drawn.model_validate(self._ask(side, worker, order))
        self._unmeasured.discard(side)
        return answer

    def finish(self, side: Side) -> Effect | None:
        """End a side's worker; what its recipe did."""
        worker = self._worker(side)
        with self._blamed(side):
            answer = self._ask(side, worker, Order(do="finish"))
        self._end(side)
        return Effect.model_validate(answer) if answer is not None else None

    def _ask(self, side: Side, worker: WorkerProcess, question: Order | Job) -> object:
        return worker.ask(
            question.model_dump_json(),
            time_limit_s=self._limit_s,
            progress=lambda phase: self._progress.say(f"{side}: {phase}"),
        )

    def _worker(self, side: Side) -> WorkerProcess:
        if side in self._open:
            return self._open[side]
        for other in [*self._open]:
            self._end(other)
        worker = self._started(side)
        self._warm_up({side: worker})
        return worker

    def _started(self, side: Side) -> WorkerProcess:
        stack = self._stacks[side]
        worker = WorkerProcess([str(stack.python), "-m", "nearlossless.stacks.serving"], environment=stack.environment)
        self._open[side] = worker
        with self._blamed(side):
            built = Built.model_validate(self._ask(side, worker, self._job))
        self.built.setdefault(side, built)
        return worker

    def _warm_up(self, workers: Mapping[Side, WorkerProcess]) -> None:
        def draw(side: Side, worker: WorkerProcess) -> None:
            with self._blamed(side):
                self._ask(side, worker, Order(do="draw"))

        warm_up([partial(draw, *item) for item in workers.items()], synchronize=lambda: None)
        self._unmeasured.update(workers)

    @contextmanager
    def _blamed(self, side: Side) -> Iterator[None]:
        try:
            yield
        except (BackendError, BackendUnavailable, CaseError, WorkerError) as error:
            is_crowded = isinstance(error, OutOfMemory) and not self.takes_turns
            if side == "here" or is_crowded:
                raise
            python = self._stacks[side].python
            raise BaselineError(f"the other stack ({python}) has nothing to compare with: {error}") from None
