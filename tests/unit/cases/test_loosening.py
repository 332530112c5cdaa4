"""Layers of thresholds may loosen each other only with a reason."""

import tomllib
from typing import Any

import pytest
from pydantic import ValidationError

from nearlossless.cases.case import Case
from nearlossless.cases.loosening import is_looser

TABLES = {
    "recipes.inductor.thresholds": "[recipes.inductor.thresholds]",
    'overrides."cpu".thresholds': "[overrides.cpu.thresholds]",
    'overrides."cpu".recipes.inductor': "[overrides.cpu.recipes.inductor]",
    'overrides."cuda".thresholds': "[overrides.cuda.thresholds]",
    'overrides."NVIDIA H20".thresholds': '[overrides."NVIDIA H20".thresholds]',
    'overrides."cpu-avx2".recipes.inductor': "[overrides.cpu-avx2.recipes.inductor]",
}


def load(general: str, *layers: str) -> Case:
    """A case for both devices with these thresholds and further tables."""
    head = """
        [model]
        source = "miniature"
        dtype = { cpu = "float32", cuda = "bfloat16" }
        [generation]
        prompts = ["a"]
        seeds = [1]
        height = 64
        width = 64
        steps = 2
        guidance_scale = 3.5
        sizes = [[64, 64]]
        [recipes.inductor]
        backend = "inductor"
    """
    content: dict[str, Any] = tomllib.loads("\n".join([head, "[thresholds]", general, *layers]))
    return Case(name="mini", **content)


@pytest.mark.parametrize(("name", "header"), TABLES.items(), ids=TABLES)
def test_looser_layer_needs_a_reason(name: str, header: str) -> None:
    """A layer that loosens is an error that names threshold, both values and table, unless it gives a reason."""
    with pytest.raises(ValidationError) as caught:
        load("min_speedup = 1.2", f"{header}\nmin_speedup = 1.1")
    assert f"[{name}] loosens min_speedup from 1.2 to 1.1 without a reason" in str(caught.value)
    load("min_speedup = 1.2", f'{header}\nmin_speedup = 1.1\nbecause = "two loaded cores"')


@pytest.mark.parametrize("header", TABLES.values(), ids=TABLES)
@pytest.mark.parametrize("line", ["min_speedup = 1.2", "min_speedup = 1.3", "max_latency_s = 9.0", "live.pictures = 8"])
def test_equal_stricter_or_first_needs_none(header: str, line: str) -> None:
    """The same value, a stricter one, or one that nothing more general requires is no loosening."""
    load("min_speedup = 1.2\nlive = { min_ssim = 0.9, pictures = 8 }", f"{header}\n{line}")


@pytest.mark.parametrize(
    ("general", "looser"),
    [
        ("max_latency_s = 1.0", "max_latency_s = 1.1"),
        ("live.min_ssim = 0.9", "live.min_ssim = 0.8"),
        ("stored.max_difference = 2", "stored.max_difference = 3"),
        ("live.pictures = 8", "live.pictures = 9"),
        ("", "max_compiles_after_warmup = 1"),
    ],
)
def test_ceilings_bands_and_defaults_count(general: str, looser: str) -> None:
    """A higher ceiling, a figure inside a band, and more than the default allows are loosened thresholds."""
    with pytest.raises(ValidationError, match="without a reason"):
        load(general, f"[recipes.inductor.thresholds]\n{looser}")


def test_hardware_is_compared_with_its_own_device() -> None:
    """A GPU's layer is held against what CUDA requires, not the CPU, and the reverse."""
    layers = ["[overrides.cpu.thresholds]\nmin_speedup = 1.5", '[overrides."NVIDIA H20".thresholds]\nmin_speedup = 1.2']
    load("min_speedup = 1.1", *layers)
    with pytest.raises(ValidationError, match=r"from 1\.5 to 1\.2"):
        load("min_speedup = 1.1", layers[0], "[overrides.cpu-avx2.thresholds]\nmin_speedup = 1.2")


def test_looser_than_any_layer_before_counts() -> None:
    """A value that is stricter than the case's, and looser than the recipe's, is a loosening of the recipe's."""
    layers = ["[recipes.inductor.thresholds]\nmin_speedup = 1.5", "[overrides.cpu.recipes.inductor]\nmin_speedup = 1.3"]
    with pytest.raises(ValidationError, match=r"from 1\.5 to 1\.3"):
        load("min_speedup = 1.2", *layers)


def test_reason_is_of_its_table_alone() -> None:
    """A reason of one table excuses no other, and is no threshold in force."""
    loose = '[recipes.inductor.thresholds]\nmin_speedup = 1.1\nbecause = "two loaded cores"'
    with pytest.raises(ValidationError, match=r"from 1\.1 to 1"):
        load("min_speedup = 1.2", loose, "[overrides.cpu.recipes.inductor]\nmin_speedup = 1.0")
    assert load("min_speedup = 1.2", loose).thresholds_for("inductor", "cpu", "cpu-avx2").because is None


def test_reason_has_some_length() -> None:
    """A reason of a word is none."""
    with pytest.raises(ValidationError, match="because"):
        load("min_speedup = 1.2", '[overrides.cpu.thresholds]\nmin_speedup = 1.1\nbecause = "slow"')


@pytest.mark.parametrize(
    ("name", "value", "former", "looser"),
    [
        ("max_latency_s", 1.1, 1.0, True),
        ("max_latency_s", 1.0, 1.0, False),
        ("max_latency_s", 0.9, 1.0, False),
        ("live.min_ssim", 0.8, 0.9, True),
        ("max_phase_peak_gib.decoding", 20.1, 20.0, True),
        ("max_phase_peak_gib.decoding", 20.0, 20.0, False),
        ("live.min_ssim", 0.9, 0.9, False),
        ("live.min_ssim", 0.95, 0.9, False),
        ("live.pictures", 9, 8, True),
        ("live.pictures", 8, 8, False),
        ("live.pictures", 7, 8, False),
    ],
)
def test_direction_follows_the_name(name: str, value: float, former: float, looser: bool) -> None:
    """Ceilings loosen upwards, a band's count of pictures too, and floors downwards."""
    assert is_looser(name, value, former) == looser
