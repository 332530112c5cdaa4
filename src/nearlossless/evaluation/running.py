"""Draw what a list lacks, judge every finished prefix, and end when all is drawn or all is certain."""

import time
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass

from nearlossless.evaluation.engines import Engine
from nearlossless.evaluation.judging import Judge
from nearlossless.evaluation.prompts import Prompt
from nearlossless.evaluation.results import PromptResult
from nearlossless.evaluation.store import Store
from nearlossless.progress import Progress, duration

SAY_EVERY_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What this session drew, in the seconds from its first prompt to its last."""

    prompts: int
    seconds: float
    workers: int

    @property
    def prompts_per_s(self) -> float | None:
        """None where nothing was drawn."""
        return self.prompts / self.seconds if self.prompts and self.seconds > 0 else None


def draw_missing(
    engine: Engine,
    store: Store,
    prompts: Iterable[Prompt],
    judge: Judge,
    progress: Progress,
    *,
    stop_early: bool,
    clock: Callable[[], float] = time.monotonic,
) -> Pace:
    """
    Draw every prompt that has no result, and hand all results to the judge in the order of drawing.

    Args:
        engine: Started.
        store: Where results are kept at once.
        prompts: The whole list.
        judge: Sees only finished prefixes; has seen nothing yet.
        progress: Told how many are done, how many a second and how long it will take.
        stop_early: End as soon as the judge is certain.
        clock: Seconds.
    """
    start, drawn = clock(), 0
    prefix = _Prefix(judge, stop_early=stop_early)
    is_over = prefix.take(store.finished())
    said = start
    missing = (prompt for prompt in prompts if not store.is_finished(prompt.number))
    if is_over:
        return Pace(prompts=0, seconds=0.0, workers=engine.workers)
    with closing(engine.results(missing, store)) as results, progress.phase(_told(store.count, judge.total, None)):
        for found in results:
            store.add(found)
            drawn += 1
            now = clock()
            told = _told(store.count, judge.total, drawn / (now - start) if now > start else None)
            if now - said >= SAY_EVERY_S or store.count == judge.total:
                said = now
                progress.say(told)
            else:
                progress.begin(told)
            if prefix.take([found.result]):
                break
    return Pace(prompts=drawn, seconds=clock() - start, workers=engine.workers)


def _told(done: int, total: int, a_second: float | None) -> str:
    text = f"prompts: {done} of {total}"
    if a_second:
        text += f", {a_second:.3g} a second, {duration((total - done) / a_second)} left"
    return text


class _Prefix:
    """Results that wait for those before them."""

    def __init__(self, judge: Judge, *, stop_early: bool) -> None:
        self._judge, self._stop_early = judge, stop_early
        self._waiting: dict[int, PromptResult] = {}
        self._is_over = False

    def take(self, results: Iterable[PromptResult]) -> bool:
        """Hand on what is next in the list; whether nothing more is wanted."""
        for result in results:
            if self._is_over:
                break
            self._waiting[result.number] = result
            while not self._is_over and self._judge.count in self._waiting:
                self._judge.add(self._waiting.pop(self._judge.count))
                is_certain = self._stop_early and self._judge.certain is not None
                self._is_over = is_certain or self._judge.count == self._judge.total
        return self._is_over
