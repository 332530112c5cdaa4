"""The noise floor: its worst figures, its margin, its file."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.scores import scores

from nearlossless.baselines.noise import (
    MARGIN,
    Movement,
    NoiseFloor,
    noise_path,
    read_noise,
    with_margin,
    worst_of,
    write_noise,
)
from nearlossless.cases.thresholds import Band
from nearlossless.environment import PictureIdentity
from nearlossless.report.noise import render_noise, repeats_line

MakeFloor = Callable[..., NoiseFloor]


@pytest.fixture
def floor_of(identity: PictureIdentity) -> MakeFloor:
    """Makes a noise floor of two pictures, with changes made to it."""

    def make(**changes: Any) -> NoiseFloor:
        sound: dict[str, Any] = {
            "created": "2026-01-01T00:00:00+00:00",
            "identity": identity,
            "stack": {"torch": "2.13.0"},
            "settings": {"steps": "28"},
            "pictures": 2,
            "repeats": 5,
            "distinct": [1, 1],
            "movements": [
                Movement(change="drawn again", scores=[scores(), scores()]),
                Movement(change="1 thread", scores=[scores(0.97), scores(0.99, max_difference=3)]),
                Movement(change="attention by flash", problem="no such kernel"),
            ],
        }
        return NoiseFloor.model_validate(sound | changes)

    return make


def test_worst_is_taken_figure_by_figure() -> None:
    """Each figure's worst may come from another picture; a shift counts without its sign."""
    found = worst_of(
        [
            scores(0.9, ms_ssim=0.99, p99_difference=1, channel_shift=(0.1, 0.0, -0.7)),
            scores(0.8, max_difference=9, channel_shift=(0.5, 0.0, 0.0), worst_tile_colour_difference=0.03),
            scores(0.95, ms_ssim=0.97, worst_tile_psnr_db=31.0),
        ]
    )
    assert found == Band(
        min_ssim=0.8,
        min_ms_ssim=0.97,
        min_psnr_db=31.0,
        max_p99_difference=1,
        max_difference=9,
        max_channel_shift=0.7,
        max_colour_difference=0.03,
    )


def test_worst_of_equal_pictures_asks_for_no_decibels() -> None:
    """Infinitely many decibels are no threshold, and MS-SSIM that nobody computed is none either."""
    found = worst_of([scores()])
    assert (found.min_ssim, found.min_psnr_db, found.min_ms_ssim) == (1.0, None, None)


def test_worst_of_nothing_is_an_error() -> None:
    """No scores are no noise floor of zero."""
    with pytest.raises(ValueError, match="no benign change"):
        worst_of([])


@pytest.mark.parametrize(
    ("changes", "figure", "value"),
    [
        ({"worst_tile_ssim": 1.0000000000000002}, "min_ssim", 1.0),
        ({"worst_tile_ssim": -0.3}, "min_ssim", 0.01),
        ({"ms_ssim": 0.0}, "min_ms_ssim", 0.01),
        ({"worst_tile_psnr_db": 0.0}, "min_psnr_db", 0.01),
        ({"worst_tile_colour_difference": 1.0000000001}, "max_colour_difference", 1.0),
    ],
)
def test_scores_outside_of_a_bands_limits_are_taken_in(changes: dict[str, Any], figure: str, value: float) -> None:
    """SSIM of equal pictures may round to above 1, and that of unlike ones is negative: neither ends a calibration."""
    worst = worst_of([scores(**changes)])
    assert getattr(worst, figure) == value
    assert getattr(with_margin(worst), figure) is not None


def test_margin_is_as_far_again() -> None:
    """Distances to equal pictures double; 6.02 dB are a factor of 2 in amplitude."""
    band = Band(
        min_ssim=0.9,
        min_ms_ssim=0.98,
        min_psnr_db=40.0,
        max_p99_difference=4,
        max_difference=10,
        max_channel_shift=0.2,
        max_colour_difference=0.01,
    )
    assert with_margin(band).model_dump(exclude_none=True) == pytest.approx(
        {
            "min_ssim": 0.8,
            "min_ms_ssim": 0.96,
            "min_psnr_db": 33.979,
            "max_p99_difference": 8,
            "max_difference": 20,
            "max_channel_shift": 0.4,
            "max_colour_difference": 0.02,
        },
        abs=1e-3,
    )


def test_pages_tell_the_margin() -> None:
    """docs/quality.md and docs/thresholds.md say by how much bands exceed what moved: twice."""
    docs = Path(__file__).parents[3] / "docs"
    assert MARGIN == 2
    assert "within twice the floor's worst" in (docs / "quality.md").read_text(encoding="utf-8")
    assert "bands that leave twice the room" in (docs / "thresholds.md").read_text(encoding="utf-8")


def test_margin_stays_inside_what_pictures_can_be() -> None:
    """A floor that is as far as can be gives a band that can be loaded."""
    found = with_margin(Band(min_ssim=0.2, min_psnr_db=2.0, max_difference=255, max_colour_difference=0.9))
    assert found == Band(min_ssim=0.01, min_psnr_db=0.01, max_difference=255, max_colour_difference=1.0)


def test_margin_of_what_was_not_measured_is_nothing() -> None:
    """A figure without a floor excuses nothing."""
    assert with_margin(Band()) == Band()


@pytest.mark.parametrize(
    ("distinct", "jumps", "told"),
    [
        ([1, 1], False, "the same to the bit"),
        ([1, 2], True, "jump between a few versions: 1, 2"),
        ([4, 1], True, "jump between a few versions: 4, 1"),
        ([5, 5], False, "2 of 2 pictures are another each time"),
        ([1, 5], False, "1 of 2 pictures are another each time"),
    ],
)
def test_jumps_are_told_from_repeats_and_from_chance(
    floor_of: MakeFloor, distinct: list[int], jumps: bool, told: str
) -> None:
    """Of five repeats one version is repetition, five are chance, and what lies between jumps between modes."""
    floor = floor_of(distinct=distinct)
    assert floor.jumps is jumps
    assert told in repeats_line(floor)


def test_noise_floor_comes_back_from_its_file(floor_of: MakeFloor, tmp_path: Path) -> None:
    """All that was written is read again, infinite decibels too."""
    floor = floor_of()
    path = noise_path(tmp_path, floor.identity)
    write_noise(path, floor)
    assert path == tmp_path / "cpu-avx2-float32" / "noise.json"
    assert read_noise(path) == floor
    assert math.isinf(read_noise(path).movements[0].scores[0].psnr_db)


def test_worst_of_a_floor_is_over_pictures_and_changes(floor_of: MakeFloor) -> None:
    """Figures of different changes stand in one floor."""
    assert (floor_of().worst.min_ssim, floor_of().worst.max_difference) == (0.97, 3)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda content: content | {"schema_version": 2}, "schema_version"),
        (lambda content: content | {"further": 1}, "further"),
        (lambda content: content | {"distinct": []}, "distinct"),
        (lambda content: content | {"movements": []}, "no scores"),
        (lambda content: content | {"movements": [{"change": "x", "problem": "y"}]}, "no scores"),
        (lambda content: with_score(content, worst_tile_ssim="NaN"), "worst-tile SSIM is nan"),
        (lambda content: with_score(content, worst_tile_colour_difference="Infinity"), "colour difference is inf"),
        (lambda content: with_score(content, channel_shift=[0, 0, "NaN"]), "channel shift is nan"),
        (lambda content: with_score(content, p99_difference="far"), "p99_difference"),
    ],
)
def test_damaged_file_is_an_error_that_names_it(
    floor_of: MakeFloor, tmp_path: Path, change: Callable[[dict[str, Any]], dict[str, Any]], told: str
) -> None:
    """Another schema, unknown keys, missing scores and figures that are none are refused."""
    path = tmp_path / "noise.json"
    path.write_text(json.dumps(change(json.loads(floor_of().model_dump_json()))), encoding="utf-8")
    with pytest.raises(ValueError, match=told) as raised:
        read_noise(path)
    assert str(path) in str(raised.value)


def with_score(content: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The file's content with another figure in its last score."""
    content["movements"][1]["scores"][1] |= changes
    return content


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"null"])
def test_garbage_is_an_error(tmp_path: Path, content: bytes) -> None:
    """What is no JSON, or none of ours, ends in a ValueError and nothing else."""
    path = tmp_path / "noise.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"noise\.json"):
        read_noise(path)


def test_oversized_file_is_not_read(tmp_path: Path) -> None:
    """A file of more than 16 MiB is refused by its size."""
    path = tmp_path / "noise.json"
    with path.open("wb") as file:
        file.truncate((1 << 24) + 1)
    with pytest.raises(ValueError, match="larger than"):
        read_noise(path)


def test_table_has_a_row_for_each_change(floor_of: MakeFloor) -> None:
    """Each change stands with the worst of its pictures, and what could not be tried with its reason."""
    lines = render_noise(floor_of(), colour=False).splitlines()
    (row,) = [line for line in lines if "1 thread" in line]
    assert [cell.strip() for cell in row.split("│")[1:-1]] == [
        "1 thread",
        "0.97000",
        "inf",
        "0",
        "3",
        "0.000",
        "0.00000",
    ]
    assert any("attention by flash" in line and "not possible here" in line for line in lines)
    assert "attention by flash: no such kernel" in lines
    assert lines[0].endswith("worst of 2 pictures")
