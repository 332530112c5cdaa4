"""
One (case, recipe) that stays in memory and draws on demand: `python -m nearlossless.stacks.serving`.

Reads one `Job` as a line of JSON from standard input and answers with a `Built`; then an `Order` a line, each answered
with a `Drawn`, or at last with the recipe's `Effect`. Answers are events as in `processes/worker.py`. It may run under
another interpreter than the process that asks, with other versions of everything but this package.
"""

import json
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict

from nearlossless.effect import Effect, measure_effect
from nearlossless.environment import Fingerprint
from nearlossless.memory.peaks import is_out_of_memory
from nearlossless.processes.job import Job
from nearlossless.processes.streams import private_stdout
from nearlossless.processes.worker import build

if TYPE_CHECKING:
    from PIL import Image


class Built(BaseModel):
    """A pipeline that is in memory and has drawn its first batch."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    load_s: float
    first_call_s: float
    fingerprint: Fingerprint


class Order(BaseModel):
    """What is asked: one batch of the case by its number, or the end."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    do: Literal["draw", "finish"]
    batch: int = 0
    folder: str | None = None  # where its pictures are kept; None: they are not
    resets_peak: bool = False


class Drawn(BaseModel):
    """One batch: how long its call took, the memory peak since it was last reset, the pictures' files."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    latency_s: float
    peak_kind: str
    peak_bytes: int
    peak_reserved_bytes: int | None
    files: list[str]


class Served:
    """A built pipeline that takes orders."""

    def __init__(self, job: Job, tell: Callable[[str], None]) -> None:
        start = time.perf_counter()
        tell("load")
        from nearlossless.memory.peaks import peak_meter
        from nearlossless.pipelines.drawing import draw_batch
        from nearlossless.pipelines.loading import fingerprint_of
        from nearlossless.pipelines.requests import batches
        from nearlossless.shapes.counting import counted_compiles
        from nearlossless.speed.timing import synchronizer, timed

        self._job, self._batches = job, batches(job.case.generation)
        self._meter, synchronize = peak_meter(job.device), synchronizer(job.device)
        self._timed = partial(timed, synchronize=synchronize)
        with counted_compiles() as compiles:
            self._pipeline = build(job)
            synchronize()
            load_s = time.perf_counter() - start
            self._draw = partial(draw_batch, self._pipeline, job.case.generation)
            tell("first call")
            first_call_s = self._timed(partial(self._draw, self._batches[0]))
        self._graphs = compiles.graphs
        fingerprint = fingerprint_of(self._pipeline, job.case, job.device)
        self.built = Built(load_s=load_s, first_call_s=first_call_s, fingerprint=fingerprint)

    def draw(self, order: Order) -> Drawn:
        """One call; files are written after it is timed and its peak is read."""
        if order.resets_peak:
            self._meter.reset()
        pictures: list[Image.Image] = []
        latency_s = self._timed(lambda: pictures.extend(self._draw(self._batches[order.batch])))
        peak = self._meter.read()
        files: list[str] = []
        for number, picture in enumerate(pictures if order.folder is not None else []):
            files.append(str(Path(order.folder or "") / f"{order.batch}-{number}.png"))
            picture.save(files[-1])
        return Drawn(
            latency_s=latency_s,
            peak_kind=peak.kind,
            peak_bytes=peak.gated_bytes,
            peak_reserved_bytes=peak.reserved_bytes,
            files=files,
        )

    def finish(self) -> Effect | None:
        """
        What the recipe did, None for a baseline; last, since the profiler leaves traces in times and memory.

        Raises:
            BackendError: A built-in recipe fell back to eager in silence.
        """
        from nearlossless.pipelines.requests import short_batch

        if self._job.recipe is None:
            return None
        short = partial(self._draw, short_batch(self._job.case.generation))
        return measure_effect(self._pipeline, self._job.recipe, short, graphs=self._graphs)


def _listen(lines: "queue.Queue[str]") -> None:
    """Pass orders on; the end of input is the end of the parent, whatever is being drawn."""
    for line in sys.stdin:
        lines.put(line)
    os._exit(1)


def main() -> None:
    """Serve until told to finish."""
    pipe = private_stdout()

    def send(**event: Any) -> None:
        pipe.write(json.dumps(event) + "\n")

    lines: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_listen, args=(lines,), daemon=True).start()
    try:
        served = Served(Job.model_validate_json(lines.get()), lambda phase: send(phase=phase))
        send(result=served.built.model_dump(mode="json"))
        send(phase="draw")
        while (order := Order.model_validate_json(lines.get())).do == "draw":
            send(result=served.draw(order).model_dump(mode="json"))
        send(phase="effect")
        effect = served.finish()
    except BaseException as error:  # the parent turns it into a verdict
        send(error=str(error), kind=type(error).__name__, out_of_memory=is_out_of_memory(error))
        raise
    send(result=effect.model_dump(mode="json") if effect is not None else None)


if __name__ == "__main__":
    main()
