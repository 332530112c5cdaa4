"""Drawing what is missing: order, early end, progress; with an engine that draws at once."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pytest
from tests.scores import scores
from tests.unit.evaluation.conftest import MakeResult

from nearlossless.cases.thresholds import Band, Thresholds
from nearlossless.environment import Fingerprint
from nearlossless.evaluation.bands import SetBand
from nearlossless.evaluation.identity import RunIdentity
from nearlossless.evaluation.judging import Judge
from nearlossless.evaluation.prompts import Prompt
from nearlossless.evaluation.results import Drawn, PromptResult
from nearlossless.progress import Progress

pytest.importorskip("pyarrow")
from nearlossless.evaluation.engines import Results
from nearlossless.evaluation.running import Pace, draw_missing
from nearlossless.evaluation.store import Store, results_in

TOTAL = 100


class Shuffled:
    """An engine whose results come in blocks of ten, each backwards; every third picture is off if wished."""

    workers = 10

    def __init__(self, make_result: MakeResult, *, broken: bool = False) -> None:
        self._make, self._broken = make_result, broken
        self.asked: list[int] = []
        self.is_closed = False

    def start(self) -> Fingerprint:
        """Never called here."""
        raise AssertionError

    def results(self, prompts: Iterable[Prompt], _: Store) -> Results:
        """All prompts, ten at a time."""
        waiting = list(prompts)
        try:
            for start in range(0, len(waiting), 10):
                for prompt in reversed(waiting[start : start + 10]):
                    self.asked.append(prompt.number)
                    is_off = self._broken and prompt.number % 3 == 0
                    yield Drawn(result=self._make(prompt.number, scores=scores(0.1 if is_off else 1.0)), pictures={})
        finally:
            self.is_closed = True

    def close(self) -> None:
        """Nothing to give back."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Of a list of a hundred prompts."""
    identity = RunIdentity(
        case="c", recipe="r", device="cpu", prompts_sha256="0", prompts=TOTAL, settings={}, threads=1
    )
    with Store(tmp_path / "results", identity) as opened:
        yield opened


def run(
    store: Store, engine: Shuffled, *, stop_early: bool = False, told: list[str] | None = None
) -> tuple[Judge, Pace]:
    """Draw all prompts, a second each by a clock of its own."""
    band = SetBand(max_clip_drop=0.5, max_share_off=0.01)
    judge = Judge(thresholds=Thresholds(live=Band(min_ssim=0.9), evaluation=band), alpha=0.001, total=TOTAL)
    prompts: Sequence[Prompt] = [Prompt(number, number + 1, f"prompt {number}", number) for number in range(TOTAL)]
    lines = told if told is not None else []
    seconds = iter(range(1000))
    pace = draw_missing(
        engine,
        store,
        prompts,
        judge,
        Progress(lines.append),
        stop_early=stop_early,
        clock=lambda: float(next(seconds)),
    )
    return judge, pace


def test_all_are_drawn_and_judged_in_order(store: Store, make_result: MakeResult) -> None:
    """Whatever the order of finishing, the judge has seen the whole list."""
    judge, pace = run(store, Shuffled(make_result))
    assert (judge.count, pace.prompts, store.count) == (TOTAL, TOTAL, TOTAL)


def test_only_what_is_missing_is_drawn(store: Store, make_result: MakeResult) -> None:
    """Results from before count, and are not asked for again."""
    for number in (0, 1, 50):
        store.add(Drawn(result=make_result(number), pictures={}))
    engine = Shuffled(make_result)
    judge, pace = run(store, engine)
    assert sorted(engine.asked) == [number for number in range(TOTAL) if number not in (0, 1, 50)]
    assert (judge.count, pace.prompts) == (TOTAL, 97)


def test_early_end_looks_at_finished_prefixes_only(store: Store, make_result: MakeResult) -> None:
    """It ends when the prefix is certain, not before its last hole is filled, and the engine is told so."""
    engine = Shuffled(make_result, broken=True)
    judge, _ = run(store, engine, stop_early=True)
    assert judge.count < TOTAL
    assert set(range(judge.count)) <= set(engine.asked)
    assert engine.is_closed
    again, pace = run(store, Shuffled(make_result, broken=True), stop_early=True)
    assert (again.count, pace.prompts) == (judge.count, 0)


def test_results_behind_a_certain_prefix_are_not_even_read(store: Store, make_result: MakeResult) -> None:
    """Of a folder with all results an early end reads those that it judges: the others would pile up in memory."""
    for number in range(TOTAL):
        store.add(Drawn(result=make_result(number, scores=scores(0.1)), pictures={}))
    read = []

    def finished() -> Iterator[PromptResult]:
        for result in results_in(store.folder):
            read.append(result.number)
            yield result

    store.finished = finished  # type: ignore[method-assign, assignment]
    judge, _ = run(store, Shuffled(make_result), stop_early=True)
    assert judge.count < TOTAL / 2
    assert len(read) <= judge.count + 1


def test_without_stop_early_a_certain_regression_is_drawn_to_its_end(store: Store, make_result: MakeResult) -> None:
    """The whole list is asked for by default."""
    judge, _ = run(store, Shuffled(make_result, broken=True))
    assert judge.count == TOTAL


def test_progress_tells_rate_and_time_left(store: Store, make_result: MakeResult) -> None:
    """At a prompt a second half the list leaves half the time; a line comes every ten seconds, not every prompt."""
    told: list[str] = []
    run(store, Shuffled(make_result), told=told)
    assert "prompts: 50 of 100, 1 a second, 50 s left" in told
    assert len(told) <= 12
