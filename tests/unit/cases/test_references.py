"""Published figures of the large case, and the thresholds that come from them."""

import math
import tomllib
from pathlib import Path
from typing import Any

import pytest

from nearlossless.cases.case import Case
from nearlossless.cases.files import find_case
from nearlossless.cases.references import Reference

# As the source prints them: iteration speed, end-to-end time, peak memory, first call, warm first call.
H20_BASELINE = ("1.47", "19.41", "28.525", "20.42", None)
PUBLISHED = {
    ("NVIDIA H20", "nexfort"): (H20_BASELINE, ("1.82", "15.99", "28.524", "96.81", "17.29")),
    ("NVIDIA H20", "nexfort-fp8"): (H20_BASELINE, ("2.72", "10.76", "20.713", "157.37", "12.04")),
    ("NVIDIA GeForce RTX 4090", "nexfort-fp8-t5"): (None, ("3.01", "9.79", "20.109", "136.77", "10.74")),
}
METRICS = ("steps_per_s", "latency_s", "peak_gib", "first_call_s", "warm_first_call_s")
SECONDS_STEP, GIB_STEP = 0.01, 0.001  # one unit of the last digit that the source prints


@pytest.fixture(scope="module")
def case(shipped_baselines: Path) -> Case:
    """The large case."""
    return find_case(shipped_baselines, "sd35-large")


def references(case: Case) -> dict[tuple[str, str], Reference]:
    """Every reference by GPU and recipe."""
    return {(gpu, reference.recipe): reference for gpu, found in case.references.items() for reference in found}


def override(baselines: Path, gpu: str, recipe: str) -> dict[str, Any]:
    """What the case file itself sets for a recipe on a GPU."""
    content = tomllib.loads((baselines / "sd35-large" / "case.toml").read_text(encoding="utf-8"))
    found: dict[str, Any] = content["overrides"][gpu]["recipes"][recipe]
    return found


def test_every_published_table_is_a_reference(case: Case) -> None:
    """The three tables of the source are there, with its date, an address and its own command."""
    found = references(case)
    assert set(found) == set(PUBLISHED)
    for reference in found.values():
        assert reference.measured.isoformat() == "2024-11-22"
        assert reference.source.startswith("https://github.com/siliconflow/onediff/")
        assert "text_to_image_sd35.py" in reference.command


@pytest.mark.parametrize("key", PUBLISHED, ids="/".join)
def test_reference_has_the_published_figures(case: Case, key: tuple[str, str]) -> None:
    """Each figure is the printed one; a baseline that ran out of memory has none."""
    reference, (baseline, compiled) = references(case)[key], PUBLISHED[key]
    for figures, printed in ((reference.baseline, baseline), (reference.compiled, compiled)):
        assert figures.out_of_memory == (printed is None)
        expected = [float(text) if text else None for text in printed] if printed else [None] * len(METRICS)
        assert [getattr(figures, metric) for metric in METRICS] == expected


def test_reference_tells_which_encoder_its_source_quantizes(case: Case) -> None:
    """The source calls CLIP-G the T5; the reference says so, and how much less ours should need."""
    note = references(case)["NVIDIA GeForce RTX 4090", "nexfort-fp8-t5"].note
    assert all(part in note for part in ("text_encoder_2", "text_encoder_3", "4.4 GiB less"))


@pytest.mark.parametrize("key", PUBLISHED, ids="/".join)
def test_thresholds_follow_from_the_references(case: Case, shipped_baselines: Path, key: tuple[str, str]) -> None:
    """Ceilings allow half of the last printed digit, the speedup is cut to two digits, first calls set nothing."""
    reference, written = references(case)[key], override(shipped_baselines, *key)
    base, compiled = reference.baseline, reference.compiled
    assert compiled.latency_s is not None
    assert compiled.peak_gib is not None
    most_gib = compiled.peak_gib + GIB_STEP / 2
    expected = {"max_latency_s": compiled.latency_s + SECONDS_STEP / 2, "max_peak_gib": most_gib}
    if base.latency_s is not None and base.peak_gib is not None:
        expected["min_speedup"] = math.floor(base.latency_s / compiled.latency_s * 100) / 100
        expected["max_memory_ratio"] = math.ceil(most_gib / (base.peak_gib - GIB_STEP / 2) * 1000 - 1e-9) / 1000
    assert written == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("key", PUBLISHED, ids="/".join)
def test_thresholds_are_in_force_on_the_published_gpu_only(case: Case, key: tuple[str, str]) -> None:
    """On the GPU of the source the published latency is a ceiling, on another one nothing is known."""
    gpu, recipe = key
    assert case.thresholds_for(recipe, "cuda", gpu).max_latency_s is not None
    assert case.thresholds_for(recipe, "cuda", "NVIDIA H100 80GB HBM3").max_latency_s is None
