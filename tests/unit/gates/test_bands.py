"""Bands: each figure of a picture on both sides of its threshold."""

import math
from typing import Any

import pytest
from tests.scores import scores

from nearlossless.cases.thresholds import Band
from nearlossless.gates.bands import band_checks
from nearlossless.metrics.figures import FIGURES
from nearlossless.verdicts import Check, Outcome

# Figure of a band, its threshold, and scores at it and just beyond it.
SIDES: list[tuple[str, float, dict[str, Any], dict[str, Any]]] = [
    ("min_ssim", 0.98, {"worst_tile_ssim": 0.98}, {"worst_tile_ssim": 0.9799}),
    ("min_ms_ssim", 0.98, {"ms_ssim": 0.98}, {"ms_ssim": 0.9799}),
    ("min_psnr_db", 40.0, {"worst_tile_psnr_db": 40.0}, {"worst_tile_psnr_db": 39.99}),
    ("max_p99_difference", 2, {"p99_difference": 2}, {"p99_difference": 3}),
    ("max_difference", 5, {"max_difference": 5}, {"max_difference": 6}),
    ("max_channel_shift", 0.5, {"channel_shift": (0.0, 0.5, 0.1)}, {"channel_shift": (0.0, 0.501, 0.1)}),
    ("max_channel_shift", 0.5, {"channel_shift": (0.0, 0.1, -0.5)}, {"channel_shift": (0.0, 0.1, -0.501)}),
    ("max_colour_difference", 0.02, {"worst_tile_colour_difference": 0.02}, {"worst_tile_colour_difference": 0.0201}),
    ("max_flip", 0.05, {"flip": 0.05}, {"flip": 0.0501}),
    ("max_lpips", 0.1, {"lpips": 0.1}, {"lpips": 0.1001}),
]


def the_check(field: str, threshold: float, **changes: Any) -> Check:
    """The check of one figure that a band names beside `min_ssim`."""
    band = Band.model_validate({"min_ssim": 0.5, field: threshold})
    (figure,) = [figure for figure in FIGURES if figure.field == field]
    (check,) = [c for c in band_checks("live", scores(**changes), band) if c.name == f"live {figure.name}"]
    return check


def test_every_figure_of_a_band_is_tried_here() -> None:
    """A figure that is added to bands is judged, and is tried on both sides."""
    fields = set(Band.model_fields) - {"pictures"}
    assert {figure.field for figure in FIGURES} == fields == {field for field, *_ in SIDES}


@pytest.mark.parametrize(("field", "threshold", "at", "beyond"), SIDES)
def test_figure_turns_at_its_threshold(
    field: str, threshold: float, at: dict[str, Any], beyond: dict[str, Any]
) -> None:
    """Equal to the threshold passes, just beyond it is a regression."""
    assert the_check(field, threshold, **at).outcome is Outcome.PASS
    assert the_check(field, threshold, **beyond).outcome is Outcome.REGRESSION


@pytest.mark.parametrize(
    ("field", "threshold", "missing"),
    [
        ("min_ms_ssim", 0.98, {"ms_ssim": None}),
        ("max_flip", 0.05, {"flip": None}),
        ("max_lpips", 0.1, {"lpips": None}),
        ("min_ssim", 0.98, {"worst_tile_ssim": math.nan}),
        ("min_psnr_db", 40.0, {"worst_tile_psnr_db": math.nan}),
        ("max_channel_shift", 0.5, {"channel_shift": (math.nan, 0.0, 0.0)}),
        ("max_channel_shift", 0.5, {"channel_shift": (0.0, 0.0, math.nan)}),
        ("max_colour_difference", 0.02, {"worst_tile_colour_difference": math.nan}),
    ],
)
def test_named_figure_without_number_is_not_comparable(field: str, threshold: float, missing: dict[str, Any]) -> None:
    """What the band asks for and nobody computed, or came out as NaN, is never green."""
    assert the_check(field, threshold, **missing).outcome is Outcome.NOT_COMPARABLE


def test_equal_pictures_pass_any_number_of_decibels() -> None:
    """PSNR of equal pictures is infinite, and no missing figure."""
    check = the_check("min_psnr_db", 100.0, worst_tile_psnr_db=math.inf)
    assert (check.outcome, check.obtained) == (Outcome.PASS, 120.0)


def test_band_without_similarity_is_not_comparable() -> None:
    """`min_ssim` is needed: a band of other figures alone leaves the picture NOT_COMPARABLE."""
    outcomes = {check.name: check.outcome for check in band_checks("live", scores(), Band(max_difference=5))}
    assert outcomes == {
        "live worst-tile SSIM": Outcome.NOT_COMPARABLE,
        "live largest difference": Outcome.PASS,
    }


def test_figures_that_no_band_names_are_not_judged() -> None:
    """A band of `min_ssim` alone lets every other figure be."""
    (check,) = band_checks("live", scores(max_difference=255, channel_shift=(99.0, 0.0, 0.0)), Band(min_ssim=0.9))
    assert check.outcome is Outcome.PASS


def test_other_sizes_are_not_comparable_once() -> None:
    """Without scores there is one check, not one for each figure of the band."""
    (check,) = band_checks("live", None, Band(min_ssim=0.9, max_difference=5))
    assert check.outcome is Outcome.NOT_COMPARABLE


def test_checks_say_of_what_they_are() -> None:
    """Anchor, picture, unit, note and file stand in what a reader gets to see."""
    band = Band(min_ssim=0.9, max_difference=5)
    _, check = band_checks(
        "stored", scores(max_difference=6), band, of="'ring' seed 20", path="a.png", note="best of 2"
    )
    assert str(check) == (
        "stored largest difference of 'ring' seed 20: obtained 6 levels, required <= 5 levels (best of 2) [a.png]"
    )
