"""What a recipe may say about quantization."""

from typing import Any

import pytest
from pydantic import ValidationError

from nearlossless.cases.recipes import Recipe


def recipe(**content: Any) -> Recipe:
    """A recipe of the built-in backend that touches two components."""
    return Recipe.model_validate({"backend": "inductor", "touches": ["transformer", "text_encoder_3"], **content})


@pytest.mark.parametrize("scheme", ["float8", "int8", "nexfort:fp8_e4m3_e4m3_dynamic_per_tensor"])
def test_known_schemes_are_accepted(scheme: str) -> None:
    """Both schemes of torchao and any quant type of nexfort's may be named."""
    assert recipe(quantization={"transformer": scheme}).quantization == {"transformer": scheme}


@pytest.mark.parametrize("scheme", ["fp8", "", "INT8", "nexfort:", "nexfort:a b", "nexfort", "int8 "])
def test_unknown_scheme_lists_the_known_ones(scheme: str) -> None:
    """A scheme that does not exist is an error that names the component and every scheme there is."""
    with pytest.raises(ValidationError, match=r"transformer: a scheme is 'float8', 'int8' or 'nexfort:<quant_type>'"):
        recipe(quantization={"transformer": scheme})


def test_quantized_component_must_be_touched() -> None:
    """A component that is quantized but not touched would be the baseline's own."""
    with pytest.raises(ValidationError, match=r"quantization names \['vae'\], which 'touches' leaves out"):
        recipe(quantization={"transformer": "int8", "vae": "int8"})


def test_recipe_that_may_touch_everything_may_quantize_anything() -> None:
    """Without 'touches' every component is the recipe's own."""
    assert recipe(touches=None, quantization={"vae": "int8"}).quantization == {"vae": "int8"}


@pytest.mark.parametrize("option", ["fuse_qkv", "channels_last"])
def test_restructured_component_is_touched(option: str) -> None:
    """A component that is rewired must be one that the recipe touches: any other is the baseline's too."""
    Recipe(backend="inductor", touches=("transformer", "vae"), options={option: ["vae"]})
    with pytest.raises(ValidationError, match=f"options.{option} names .'vae'."):
        Recipe(backend="inductor", touches=("transformer",), options={option: ["vae"]})
