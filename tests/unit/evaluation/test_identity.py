"""What belongs to a run: whatever decides its results, and not what judges them."""

from pathlib import Path

import pytest
from tests.unit.conftest import MakeSubject

from nearlossless.cases.case import Case
from nearlossless.cases.recipes import Recipe
from nearlossless.cases.thresholds import Thresholds
from nearlossless.evaluation.identity import identity_of
from nearlossless.evaluation.pairs import one_picture_a_call
from nearlossless.evaluation.prompts import HELD_OUT, read_prompts


def changes(make_subject: MakeSubject, case: Case, other: Case, recipe: Recipe, other_recipe: Recipe) -> list[str]:
    """What differs between the identities of two runs over the same prompts."""
    prompts = read_prompts(HELD_OUT, first_seed=0)
    first, second = (
        identity_of(make_subject(of, under), prompts, features=None, threads=1)
        for of, under in ((case, recipe), (other, other_recipe))
    )
    return second.differences(first)


def test_steps_and_options_belong_to_a_run_and_bands_do_not(make_subject: MakeSubject, tiny_case: Case) -> None:
    """What draws differently is another run; what only judges differently is the same."""
    same = Recipe(backend="inductor")
    generation = tiny_case.generation.model_copy(update={"steps": 3})
    longer = tiny_case.model_copy(update={"generation": generation})
    assert changes(make_subject, tiny_case, longer, same, same) == ["settings.generation.steps: 2 -> 3"]
    tuned = Recipe(backend="inductor", options={"mode": "default"})
    assert changes(make_subject, tiny_case, tiny_case, same, tuned) == ["settings.recipe.options.mode: None -> default"]
    judged = same.model_copy(update={"thresholds": Thresholds(min_speedup=2.0)})
    looser = tiny_case.model_copy(update={"thresholds": Thresholds()})
    assert changes(make_subject, tiny_case, looser, same, judged) == []
    assert changes(make_subject, tiny_case, one_picture_a_call(tiny_case), same, same) == []


def test_edited_backend_is_another_recipe(
    make_subject: MakeSubject, tiny_case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user's module is read, not run: one changed line makes results of before another run's."""
    monkeypatch.syspath_prepend(tmp_path)
    module = tmp_path / "edited_backend.py"
    recipe = Recipe(backend="edited_backend:apply")
    prompts = read_prompts(HELD_OUT, first_seed=0)
    found = []
    for line in ("raise SystemExit(1)\n", "raise SystemExit(2)\n"):
        module.write_text(line, encoding="utf-8")
        found.append(identity_of(make_subject(tiny_case, recipe), prompts, features=None, threads=1))
    (told,) = found[1].differences(found[0])
    assert told.startswith("settings.backend_sha256: ")
