"""The release gate's results folder: what of a former session stays there."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from nearlossless.cases.case import CaseError
from nearlossless.evaluation import session
from nearlossless.evaluation.record import RECORD_FILE
from nearlossless.evaluation.session import evaluate_session
from nearlossless.progress import Progress
from nearlossless.record import Record
from nearlossless.runs.selection import select_subjects

pytest.importorskip("pyarrow")


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A folder with the results of a former session."""
    block = tmp_path / "results" / "blocks" / "000000.parquet"
    block.parent.mkdir(parents=True)
    block.touch()
    return tmp_path / "results"


@pytest.fixture
def evaluate_again(baselines: Path, results: Path, full_record: Record) -> Callable[[str], object]:
    """Evaluates the tiny case over a file of prompts, with pipelines that are not asked to draw."""
    (subject,) = select_subjects(baselines, cases=["tiny"], recipes=["same"])
    fingerprint = full_record.subjects[0].fingerprint
    assert fingerprint is not None
    progress = Progress(lambda _: None)
    return lambda prompts: evaluate_session(
        subject, None, None, fingerprint, progress, folder=results, prompts=prompts, test="t"
    )


def test_mistake_costs_no_finished_results(evaluate_again: Callable[[str], object], results: Path) -> None:
    """A file of prompts that cannot be read is told before anything of a finished evaluation is removed."""
    (results / RECORD_FILE).touch()
    with pytest.raises(CaseError, match=r"typo\.tsv"):
        evaluate_again("typo.tsv")
    assert (results / RECORD_FILE).exists()
    assert (results / "blocks" / "000000.parquet").exists()


@pytest.mark.parametrize("is_finished", [True, False])
def test_finished_evaluation_makes_room(
    evaluate_again: Callable[[str], object],
    results: Path,
    prompts_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    is_finished: bool,
) -> None:
    """A finished one is removed before the next is drawn; the results of one that was cut off are gone on with."""
    if is_finished:
        (results / RECORD_FILE).touch()
    monkeypatch.setattr(session, "evaluate", lambda *_, **__: SimpleNamespace(verdict="of what was drawn"))
    assert evaluate_again(str(prompts_file)) == "of what was drawn"
    assert (results / "blocks").exists() is not is_finished
