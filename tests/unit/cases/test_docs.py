"""docs/cases.md and the models that check case files say the same."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from nearlossless.cases.case import Case, Generation, Lora, Model, Sampling, Shapes
from nearlossless.cases.files import parse_case
from nearlossless.cases.recipes import Recipe
from nearlossless.cases.references import Figures, Reference
from nearlossless.cases.thresholds import Band, Override, PhaseBudgets, Thresholds
from nearlossless.cases.waivers import Waiver
from nearlossless.evaluation.bands import Evaluation, SetBand

PAGE = Path(__file__).parents[3] / "docs" / "cases.md"
SECTIONS: dict[type[BaseModel], str] = {
    Case: "The file",
    Model: "`[model]`",
    Lora: "`[[model.loras]]`",
    Generation: "`[generation]`",
    Shapes: "`[shapes]`",
    Sampling: "`[sampling]`",
    Evaluation: "`[evaluation]`",
    Thresholds: "`[thresholds]`",
    PhaseBudgets: "Phase budgets",
    Band: "Bands",
    SetBand: "Bands of a set",
    Recipe: "`[recipes.NAME]`",
    Override: "`[overrides.HARDWARE]`",
    Reference: "`[[references.GPU]]`",
    Figures: "Figures of a reference",
    Waiver: "`[[waivers]]`",
}


def documented(heading: str) -> dict[str, str]:
    """Key and default of every row of the table under a heading."""
    text = PAGE.read_text(encoding="utf-8")
    section = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+?) \|$", section, re.MULTILINE)
    assert all(meaning.strip() for _, _, meaning in rows)
    return {key: default for key, default, _ in rows}


def shown(default: Any) -> str:
    """A default as the page writes it."""
    if default in (None, "", (), {}) or isinstance(default, BaseModel):
        return "-"
    return f"`{json.dumps(default)}`"


def models(model: type[BaseModel]) -> set[type[BaseModel]]:
    """A model and every one that its fields hold, at any depth."""
    found, waiting = {model}, [field.annotation for field in model.model_fields.values()]
    while waiting:
        annotation: Any = waiting.pop()
        waiting += getattr(annotation, "__args__", ())
        if isinstance(annotation, type) and issubclass(annotation, BaseModel) and annotation not in found:
            found.add(annotation)
            waiting += [field.annotation for field in annotation.model_fields.values()]
    return found


def test_every_table_has_a_section() -> None:
    """Whatever a case file may hold at any depth is one of the sections."""
    assert models(Case) == set(SECTIONS)


@pytest.mark.parametrize("model", SECTIONS, ids=lambda model: model.__name__)
def test_page_names_every_key_with_its_default(model: type[BaseModel]) -> None:
    """The table of a section has exactly the model's keys, each with the default that is in force."""
    expected = {
        name: "required" if field.is_required() else shown(field.get_default(call_default_factory=True))
        for name, field in model.model_fields.items()
        if (model, name) != (Case, "name")  # the folder's
    }
    assert documented(SECTIONS[model]) == expected


def test_example_is_a_case() -> None:
    """The example at the top of the page loads."""
    (example,) = re.findall(r"^```toml\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    case = parse_case("example", tomllib.loads(example), PAGE)
    assert (case.model.offload, case.generation.batch_size, len(case.model.loras)) == ("model", 2, 2)
