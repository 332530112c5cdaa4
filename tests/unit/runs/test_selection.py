"""Which (case, recipe, device) a run is about."""

from pathlib import Path

import pytest

from nearlossless.cases.case import CaseError
from nearlossless.runs.selection import Subject, select_subjects

CASE = """
default = {default}
[model]
source = "miniature"
dtype = {{ {dtype} }}
[generation]
prompts = ["blue ring"]
seeds = [20]
height = 128
width = 128
steps = 2
guidance_scale = 3.5
sizes = [[128, 64]]
[thresholds]
min_speedup = 1.1
"""
BOTH, CPU = 'cpu = "float32", cuda = "bfloat16"', 'cpu = "float32"'


@pytest.fixture
def baselines(tmp_path: Path) -> Path:
    """Two cases that run by default and one that does not."""
    for name, default, dtype, recipes in (
        ("one", "true", BOTH, ("slow", "fast")),
        ("two", "true", CPU, ("fast",)),
        ("big", "false", CPU, ("huge",)),
    ):
        text = CASE.format(default=default, dtype=dtype)
        for recipe in recipes:
            text += f'[recipes.{recipe}]\nbackend = "inductor"\nthresholds = {{ min_speedup = 1.5 }}\n'
        (tmp_path / name).mkdir()
        (tmp_path / name / "case.toml").write_text(text, encoding="utf-8")
    return tmp_path


def ids(subjects: list[Subject]) -> set[str]:
    """Their ids as a set."""
    assert len({subject.id for subject in subjects}) == len(subjects)
    return {subject.id for subject in subjects}


def test_without_names_all_default_cases_run(baselines: Path) -> None:
    """Every default case runs under every recipe on every device that it names, and no other case does."""
    assert ids(select_subjects(baselines)) == {
        "one-cpu-slow",
        "one-cpu-fast",
        "one-cuda-slow",
        "one-cuda-fast",
        "two-cpu-fast",
    }


def test_named_case_runs_although_it_is_no_default(baselines: Path) -> None:
    """Naming a case selects it and nothing else."""
    assert ids(select_subjects(baselines, cases=["big"])) == {"big-cpu-huge"}


def test_recipe_name_selects_within_each_case(baselines: Path) -> None:
    """A recipe's name leaves out the other recipes, and cases that do not have it."""
    assert ids(select_subjects(baselines, recipes=["slow"])) == {"one-cpu-slow", "one-cuda-slow"}


def test_named_case_without_the_recipe_is_an_error(baselines: Path) -> None:
    """A case that was asked for by name is never left out in silence: the error says which, and what recipes it has."""
    with pytest.raises(CaseError, match=r"nothing to gate in two on cpu: .*there is: fast$"):
        select_subjects(baselines, cases=["one", "two"], recipes=["slow"])
    assert ids(select_subjects(baselines, cases=["one"], recipes=["slow"])) == {"one-cpu-slow", "one-cuda-slow"}


def test_named_case_on_other_devices_than_the_recipe_is_an_error(baselines: Path) -> None:
    """The same where the case has the recipe, but on no device of its own, whatever other named cases have."""
    for name in ("one", "two"):
        with (baselines / name / "case.toml").open("a", encoding="utf-8") as file:
            file.write('[recipes.fp8]\nbackend = "inductor"\ndevices = ["cuda"]\n')
    with pytest.raises(CaseError, match=r"nothing to gate in two on cpu: .*there is: fast, fp8 \(cuda only\)$"):
        select_subjects(baselines, cases=["one", "two"], recipes=["fp8"])
    assert ids(select_subjects(baselines, recipes=["fp8"])) == {"one-cuda-fp8"}


def test_names_given_twice_count_once(baselines: Path) -> None:
    """A name that is repeated on the command line does not repeat its gates."""
    assert ids(select_subjects(baselines, cases=["two", "two"], recipes=["fast", "fast"])) == {"two-cpu-fast"}


def test_backend_replaces_the_recipes(baselines: Path) -> None:
    """A backend from the command line runs alone, under an id that a file name can hold."""
    subjects = select_subjects(baselines, cases=["two"], backend="package.module:function")
    assert ids(subjects) == {"two-cpu-package.module.function"}
    assert subjects[0].recipe.backend == "package.module:function"


def test_backend_joins_named_recipes(baselines: Path) -> None:
    """A backend and a recipe that are both named both run."""
    subjects = select_subjects(baselines, cases=["two"], recipes=["fast"], backend="a:b")
    assert ids(subjects) == {"two-cpu-fast", "two-cpu-a.b"}


def test_backend_is_held_against_the_default_thresholds(baselines: Path) -> None:
    """A backend without a recipe gets the case's thresholds, a recipe its own."""
    subjects = select_subjects(baselines, cases=["two"], recipes=["fast"], backend="a:b")
    assert {subject.recipe_name: subject.thresholds.min_speedup for subject in subjects} == {"fast": 1.5, "a.b": 1.1}


def test_unknown_case_is_an_error(baselines: Path) -> None:
    """A case that does not exist is answered with those that do."""
    with pytest.raises(CaseError, match="there is: big, one, two"):
        select_subjects(baselines, cases=["three"])


def test_unknown_recipe_is_an_error(baselines: Path) -> None:
    """A recipe that no selected case has is answered with those that there are."""
    with pytest.raises(CaseError, match="no recipe 'huge' in one, two; there is: fast, slow"):
        select_subjects(baselines, recipes=["huge"])


def test_one_unknown_recipe_among_known_ones_is_an_error(baselines: Path) -> None:
    """A misspelt name is not hidden by a correct one beside it."""
    with pytest.raises(CaseError, match="'fats'"):
        select_subjects(baselines, recipes=["fast", "fats"])


@pytest.mark.parametrize("backend", ["fast", "a.b", "a:b:c", ""])
def test_bad_backend_is_an_error(baselines: Path, backend: str) -> None:
    """A backend that is neither built in nor module:function is refused, saying what is allowed."""
    with pytest.raises((CaseError, ValueError), match=r"package\.module:function"):
        select_subjects(baselines, backend=backend)


def test_no_default_case_is_an_error(baselines: Path) -> None:
    """Where no case runs by default, the error says which can be named."""
    for name in ("one", "two"):
        path = baselines / name / "case.toml"
        path.write_text(path.read_text(encoding="utf-8").replace("default = true", "default = false"), encoding="utf-8")
    with pytest.raises(CaseError, match="choose with --case: big, one, two"):
        select_subjects(baselines)


def test_subject_knows_its_folder(baselines: Path) -> None:
    """Expected pictures are looked for in the case's own folder."""
    assert select_subjects(baselines, cases=["two"])[0].case_folder == baselines / "two"


def test_recipe_that_is_no_default_runs_only_when_named(baselines: Path) -> None:
    """`default = false` leaves a recipe out until it is named, and `devices` keeps it to where it can run."""
    with (baselines / "one" / "case.toml").open("a", encoding="utf-8") as file:
        file.write('[recipes.fp8]\nbackend = "inductor"\ndefault = false\ndevices = ["cuda"]\n')
    assert not any(subject.recipe_name == "fp8" for subject in select_subjects(baselines))
    assert ids(select_subjects(baselines, recipes=["fp8"])) == {"one-cuda-fp8"}


def test_recipe_for_other_devices_is_an_error(baselines: Path) -> None:
    """A case that runs on the CPU only has nothing to gate under a recipe for GPUs only."""
    with (baselines / "two" / "case.toml").open("a", encoding="utf-8") as file:
        file.write('[recipes.fp8]\nbackend = "inductor"\ndevices = ["cuda"]\n')
    with pytest.raises(CaseError, match="nothing to gate in two"):
        select_subjects(baselines, cases=["two"], recipes=["fp8"])
