"""All verdicts of a run, red first, each with the command that asks again."""

import shlex

import pytest

from nearlossless.record import Record
from nearlossless.report.html import render_html
from nearlossless.report.reproducing import reproducing
from nearlossless.report.verdict_list import glance, listed, tally
from nearlossless.verdicts import Outcome


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("pytest tests/gate --case a --recipe b", ["--case", "miniature", "--recipe", "inductor"]),
        ("pytest --against /o/python", ["--case", "miniature", "--recipe", "inductor", "--against", "/o/python"]),
        ("pytest --baselines=b --backend x:y", ["--case", "miniature", "--recipe", "inductor", "--baselines", "b"]),
        (
            "pytest -m gpu --processes 3 -n auto",
            ["--case", "miniature", "--recipe", "inductor", "--processes", "3"],
        ),
        ("pytest 'unbalanced", ["--case", "miniature", "--recipe", "inductor"]),
    ],
)
def test_command_asks_one_gate_again(full_record: Record, command: str, expected: list[str]) -> None:
    """It names test, case and recipe, and keeps what changes the question; `--backend` only for its own recipe."""
    subject = full_record.subjects[0]
    verdict = subject.verdicts[0].model_copy(update={"test": "tests/gate/test_memory.py::test_memory[a b]"})
    parts = shlex.split(reproducing(command, subject, verdict))
    assert parts == ["pytest", "tests/gate/test_memory.py::test_memory[a b]", *expected]


def test_command_keeps_a_backend_without_a_recipe(full_record: Record) -> None:
    """A backend that was given by hand is no recipe of the case: it is given again."""
    subject = full_record.subjects[0]
    subject.recipe = "skip_a_block.apply"
    again = reproducing("pytest tests/gate --backend skip_a_block:apply -m x", subject, subject.verdicts[0])
    assert again == "pytest test_speedup --case miniature --backend skip_a_block:apply"


def test_command_asks_an_evaluation_again(full_record: Record) -> None:
    """An evaluation runs only where its marker is named, and on the prompts that the run was given."""
    subject = full_record.subjects[0]
    verdict = subject.verdicts[0].model_copy(update={"gate": "evaluation", "test": "test_release"})
    again = reproducing("pytest tests/gate -m release --prompts captions.tsv", subject, verdict)
    asked = "--case miniature --recipe inductor --prompts captions.tsv -m release"
    assert again == f"pytest test_release {asked}"


def test_red_comes_first_over_all_subjects(full_record: Record) -> None:
    """The list is of all subjects, by redness, and only what is not green is unfolded."""
    full_record.subjects.append(full_record.subjects[0].model_copy(update={"recipe": "other"}))
    found = listed(full_record)
    outcomes = ["REGRESSION", "NOT_COMPARABLE", "INCONCLUSIVE", "PASS", "NOT_APPLICABLE"]
    assert [verdict.outcome for verdict in found] == [outcome for outcome in outcomes for _ in range(2)]
    assert [verdict.is_open for verdict in found] == [True] * 6 + [False] * 4
    assert tally(found) == [(outcome, 2) for outcome in outcomes]


def test_reddest_recipe_comes_first_at_a_glance(full_record: Record) -> None:
    """Recipes are ordered by their reddest verdicts, each with its own section's link; one without any is last."""
    record = full_record
    for recipe in ("green", "redder", "bare"):
        subject = record.subjects[0].model_copy(deep=True, update={"recipe": recipe})
        subject.verdicts = subject.verdicts[:1] if recipe == "green" else subject.verdicts if recipe == "redder" else []
        record.subjects.append(subject)
    record.subjects[2].verdicts[0].outcome = Outcome.REGRESSION
    rows = glance(record, listed(record)).rows
    assert [(title.split(" / ")[1], anchor) for title, anchor, _ in rows] == [
        ("redder", "subject-2"),
        ("inductor", "subject-0"),
        ("green", "subject-1"),
        ("bare", "subject-3"),
    ]


def test_tally_of_one_recipe_names_its_gates(full_record: Record) -> None:
    """Which gate came to what stands above the reasons, which can be long; of several recipes a table tells it."""
    assert '<li class="REGRESSION">1 REGRESSION: <a href="#verdict-0">memory</a></li>' in render_html(full_record)
    full_record.subjects.append(full_record.subjects[0].model_copy(update={"recipe": "other"}))
    assert '<li class="REGRESSION">2 REGRESSION</li>' in render_html(full_record)
