"""Drawing by hand: flags choose a recipe or are an error, and settings are checked like a case file."""

import os
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from nearlossless.cases.case import Case, CaseError
from nearlossless.cases.recipes import Recipe
from nearlossless.generate import Overrides, choose_device, choose_recipe, draw_by_hand
from nearlossless.report.table import Row

T5 = "text_encoder_3"
RECIPES = {
    "transform": Recipe(backend="inductor", touches=("transformer",)),
    "transform-t5": Recipe(backend="inductor", touches=("transformer", T5)),
    "quantize": Recipe(backend="inductor", touches=("transformer",), quantization={"transformer": "int8"}),
    "quantize-t5": Recipe(backend="inductor", touches=("transformer", T5), quantization={"transformer": "int8"}),
}


@pytest.fixture
def case(miniature_case: Case) -> Case:
    """A case with a recipe for each combination of flags."""
    return miniature_case.model_copy(update={"recipes": RECIPES})


def choose(case: Case, name: str | None = None, *flags: str) -> str | None:
    """The recipe for these flags."""
    return choose_recipe(
        case, name, transform="transform" in flags, quantize="quantize" in flags, speedup_t5="t5" in flags
    )


@pytest.mark.parametrize(
    ("flags", "recipe"),
    [
        ((), None),
        (("transform",), "transform"),
        (("quantize",), "quantize"),
        (("transform", "quantize"), "quantize"),
        (("transform", "t5"), "transform-t5"),
        (("quantize", "t5"), "quantize-t5"),
    ],
)
def test_flags_choose_the_recipe_that_does_just_that(case: Case, flags: tuple[str, ...], recipe: str | None) -> None:
    """The flags of the published script choose the recipe that does what they say and no more."""
    assert choose(case, None, *flags) == recipe


def test_name_chooses_whatever_it_does(case: Case) -> None:
    """A recipe that is named needs no flags."""
    assert choose(case, "quantize-t5") == "quantize-t5"


def test_flag_beside_a_name_may_agree(case: Case) -> None:
    """Flags that a named recipe serves are no error."""
    assert choose(case, "quantize-t5", "quantize", "t5") == "quantize-t5"


@pytest.mark.parametrize(("name", "flag"), [("transform", "quantize"), ("quantize", "t5")])
def test_flag_that_contradicts_the_name_is_an_error(case: Case, name: str, flag: str) -> None:
    """A flag that the named recipe does not serve is never ignored."""
    with pytest.raises(CaseError, match="no recipe for"):
        choose(case, name, "transform", flag)


def test_unknown_recipe_is_an_error(case: Case) -> None:
    """A name that does not exist is answered with those that do."""
    with pytest.raises(CaseError, match="no recipe 'nexfort'; there is: transform"):
        choose(case, "nexfort")


def test_flag_that_no_recipe_serves_is_an_error(miniature_case: Case) -> None:
    """A flag without a recipe for it is an error that lists what each recipe does."""
    only = miniature_case.model_copy(update={"recipes": {"inductor": RECIPES["transform"]}})
    with pytest.raises(CaseError, match=r"--quantize; its recipes: inductor \(compiles transformer\)"):
        choose(only, None, "quantize")


def test_shipped_case_serves_the_flags(miniature_case: Case) -> None:
    """The miniature's own recipes serve the published script's flags for the transformer, and both with the encoder."""
    assert choose(miniature_case, None, "transform") == "inductor"
    assert choose(miniature_case, None, "quantize", "transform") == "inductor-int8"
    assert choose(miniature_case, None, "quantize", "transform", "t5") == "inductor-int8-t5"


def test_t5_alone_is_an_error(case: Case) -> None:
    """The flag for the encoder says what else to do, so alone it means nothing."""
    with pytest.raises(CaseError, match="--transform or --quantize"):
        choose(case, None, "t5")


def test_settings_replace_those_of_the_case(shipped_baselines: Path, miniature_case: Case) -> None:
    """Settings that are given replace the case's, the others stay."""
    overrides = Overrides(prompt="red star", seed=7, height=64, width=96, steps=3, guidance_scale=1.5)
    generation = overrides.applied_to(shipped_baselines, "miniature").generation
    assert (generation.prompts, generation.seeds) == (("red star",), (7,))
    assert (generation.height, generation.width, generation.steps, generation.guidance_scale) == (64, 96, 3, 1.5)
    assert generation.sizes == miniature_case.generation.sizes


def test_no_settings_leave_the_case_as_it_is(shipped_baselines: Path, miniature_case: Case) -> None:
    """Without settings the case is the one in the file."""
    assert Overrides().applied_to(shipped_baselines, "miniature") == miniature_case


def test_zero_is_a_setting(shipped_baselines: Path) -> None:
    """A seed of zero and no guidance are settings, not absent ones."""
    generation = Overrides(seed=0, guidance_scale=0.0).applied_to(shipped_baselines, "miniature").generation
    assert (generation.seeds, generation.guidance_scale) == ((0,), 0.0)


@pytest.mark.parametrize("overrides", [Overrides(height=100), Overrides(steps=0), Overrides(prompt="")])
def test_bad_setting_is_a_case_error(shipped_baselines: Path, overrides: Overrides) -> None:
    """A setting is checked like a line of the case file, and the error says where it came from."""
    with pytest.raises(CaseError, match="command line"):
        overrides.applied_to(shipped_baselines, "miniature")


def test_device_is_one_of_the_case(miniature_case: Case) -> None:
    """A device that the case does not name is an error."""
    assert choose_device(miniature_case, "cpu") == "cpu"
    with pytest.raises(CaseError, match="does not run on 'tpu'"):
        choose_device(miniature_case, "tpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_cuda_without_gpu_is_an_error(miniature_case: Case) -> None:
    """Asking for CUDA where there is none is an error, not a fall back."""
    with pytest.raises(CaseError, match="no CUDA GPU"):
        choose_device(miniature_case, "cuda")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_device_falls_to_the_cpu_only_when_none_was_asked_for(miniature_case: Case) -> None:
    """Without a wish the device is what the machine has."""
    assert choose_device(miniature_case, None) == "cpu"


def test_baseline_is_drawn_and_saved(quick_case: Case, tmp_path: Path) -> None:
    """Drawing without a recipe saves the picture and gives a table with one side."""
    said: list[str] = []
    path = tmp_path / "folder" / "picture.png"
    rows: list[Row] = draw_by_hand(quick_case, None, "cpu", saved_image=path, every_size=False, say=said.append)
    assert Image.open(path).size == (128, 128)
    assert [row.label for row in rows] == ["Iteration speed", "End-to-end time", "Peak memory", "First call"]
    assert all(row.baseline is not None and row.baseline > 0 and row.compiled is None for row in rows)
    assert said


def test_recipe_for_another_device_is_an_error(quick_case: Case, tmp_path: Path) -> None:
    """A recipe that runs on CUDA only is refused on a CPU before anything is loaded."""
    case = quick_case.model_copy(update={"recipes": {"fast": Recipe(backend="my.own:fast", devices=("cuda",))}})
    with pytest.raises(CaseError, match="recipe 'fast' runs on cuda only, not on cpu"):
        draw_by_hand(case, "fast", "cpu", saved_image=tmp_path / "p.png", every_size=False, say=pytest.fail)


def test_recipes_own_variables_are_in_force_while_it_draws(
    tiny_case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recipe's variable wins over the shell's from the building to the last picture, and the shell's comes back."""
    monkeypatch.setenv("NEXFORT_DEBUG", "shell")
    seen: list[str] = []

    def listening(pipeline: Any) -> Any:
        forward = pipeline.transformer.forward

        def told(*args: Any, **options: Any) -> Any:
            seen.append(os.environ["NEXFORT_DEBUG"])
            return forward(*args, **options)

        pipeline.transformer.forward = told
        seen.append(os.environ["NEXFORT_DEBUG"])
        return pipeline

    module = types.ModuleType("listening_backend")
    module.listening = listening  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "listening_backend", module)
    recipe = Recipe(backend="listening_backend:listening", environment={"NEXFORT_DEBUG": "recipe"})
    case = tiny_case.model_copy(update={"recipes": {"listening": recipe}})
    path = tmp_path / "p.png"
    draw_by_hand(case, "listening", "cpu", saved_image=path, every_size=False, say=lambda _line: None)
    assert len(seen) > tiny_case.generation.steps
    assert set(seen) == {"recipe"}
    assert os.environ["NEXFORT_DEBUG"] == "shell"
