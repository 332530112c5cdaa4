"""The record of an evaluation whose results are made by hand."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

import pytest
from tests.scores import scores
from tests.unit.evaluation.conftest import MakeResult

from nearlossless.cases.case import CaseError
from nearlossless.environment import Fingerprint
from nearlossless.evaluation.distances import most_kid
from nearlossless.evaluation.prompts import Prompt
from nearlossless.evaluation.record import EvaluationRecord
from nearlossless.evaluation.results import Drawn, PromptResult, Status
from nearlossless.progress import Progress
from nearlossless.record import Record
from nearlossless.runs.selection import select_subjects

pytest.importorskip("pyarrow")
from nearlossless.evaluation.engines import Results
from nearlossless.evaluation.evaluating import evaluate
from nearlossless.evaluation.preparing import Wanted, prepare
from nearlossless.evaluation.store import Store

Draw = Callable[[int], PromptResult]


class Evaluate(Protocol):
    """Evaluates with results made by hand."""

    def __call__(self, draw: Draw, *, stop_early: bool = False) -> EvaluationRecord:
        """The record."""


class ByHand:
    """An engine whose pictures are made up."""

    workers = 1

    def __init__(self, draw: Draw, fingerprint: Fingerprint) -> None:
        self._draw, self._fingerprint = draw, fingerprint

    def start(self) -> Fingerprint:
        """Of a record."""
        return self._fingerprint

    def results(self, prompts: Iterable[Prompt], _: Store) -> Results:
        """One after the other, with pictures."""
        for prompt in prompts:
            yield Drawn(result=self._draw(prompt.number), pictures={"baseline": b"1", "recipe": b"2"})

    def close(self) -> None:
        """Nothing to give back."""


@pytest.fixture
def evaluate_by_hand(baselines: Path, prompts_file: Path, full_record: Record, tmp_path: Path) -> Evaluate:
    """Evaluates the tiny case over twelve prompts with results made by hand."""
    fingerprint, folder = full_record.subjects[0].fingerprint, tmp_path / "results"
    assert fingerprint is not None

    def run(draw: Draw, *, stop_early: bool = False) -> EvaluationRecord:
        (subject,) = select_subjects(baselines, cases=["tiny"], recipes=["same"])
        wanted = Wanted(subject=subject, folder=folder, prompts=str(prompts_file), stop_early=stop_early)
        return evaluate(prepare(wanted), ByHand(draw, fingerprint), Progress(lambda _: None)).record

    return run


def test_share_of_prompts_off_is_of_those_that_can_be_told(evaluate_by_hand: Evaluate, make_result: MakeResult) -> None:
    """Of twelve one is off and three have no figure: a ninth, not a twelfth."""
    found = {0: scores(0.5), 1: None, 2: None, 3: None}
    record = evaluate_by_hand(lambda number: make_result(number, scores=found.get(number, scores())))
    assert record.share_off is not None
    assert record.share_off.mean == pytest.approx(1 / 9)


def test_share_of_prompts_that_nobody_can_tell_is_left_out(evaluate_by_hand: Evaluate, make_result: MakeResult) -> None:
    """No figure of any prompt leaves none of the set."""
    assert evaluate_by_hand(lambda number: make_result(number, scores=None)).share_off is None


def test_prompts_set_aside_are_counted_and_the_first_named(
    evaluate_by_hand: Evaluate, make_result: MakeResult, tmp_path: Path
) -> None:
    """Of twelve the record and its page name ten, and say that two are left."""
    record = evaluate_by_hand(lambda number: make_result(number, status=Status.SET_ASIDE, problem="p", scores=None))
    assert record.without_answer == {"set aside": 12}
    assert [prompt.number for prompt in record.set_aside] == [*range(10)]
    assert "and 2 more</p>" in (tmp_path / "results" / "report.html").read_text(encoding="utf-8")


def test_worst_prompts_say_where_their_pictures_were_not_kept(
    evaluate_by_hand: Evaluate, make_result: MakeResult, tmp_path: Path
) -> None:
    """Ten worse ones behind those that an early end judges have the room; nothing is said where all are judged."""

    def draw(number: int) -> PromptResult:
        return make_result(number, scores=scores(0.9 - number / 100))

    page = tmp_path / "results" / "report.html"
    evaluate_by_hand(draw)
    assert "pictures not kept" not in page.read_text(encoding="utf-8")
    record = evaluate_by_hand(draw, stop_early=True)
    assert [(prompt.number, prompt.recipe_file) for prompt in record.worst] == [(0, None)]
    assert "pictures not kept: ten others that were drawn look worse" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("is_too_loose", [True, False])
def test_ceiling_that_no_kid_exceeds_is_refused_before_anything_is_drawn(
    evaluate_by_hand: Evaluate, make_result: MakeResult, baselines: Path, tmp_path: Path, is_too_loose: bool
) -> None:
    """The miniature's judge gives 96 numbers: a ceiling at the KID of opposite sets cannot fail, one below can."""
    limit = most_kid(96) * (1 if is_too_loose else 0.999)
    case = baselines / "tiny" / "case.toml"
    bands = case.read_text(encoding="utf-8").replace("evaluation = {", f"evaluation = {{ max_kid = {limit!r},")
    case.write_text(bands, encoding="utf-8")
    if not is_too_loose:
        assert evaluate_by_hand(make_result).band.max_kid == limit
        return
    with pytest.raises(CaseError, match=r"max_kid 0.125\d* can never fail: .* of 96 numbers each, is at most 0.125"):
        evaluate_by_hand(make_result)
    assert not (tmp_path / "results" / "blocks").exists()
