"""The page of `bench-evaluate`: promises from both sides, and every part that was measured."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.benchmarks.evaluating.cost import computed_cost
from tests.benchmarks.evaluating.page import MOST_GROWTH_BYTES, missed, render

DOCS = Path(__file__).parents[2] / "docs" / "benchmarks"
# The peak in bytes after a thousand prompts more than a first run of 10**8 bytes.
AT_THE_LIMIT = 10**8 + 1000 * MOST_GROWTH_BYTES


def figures(**changes: Any) -> dict[str, Any]:
    """Sound figures of all parts."""
    row = {
        "relative_clip_drop": 0.0,
        "share_off": 0.0,
        "five_pictures_pass": 1.0,
        "verdict": "PASS",
        "outcomes": {"PASS": 10, "REGRESSION": 0},
        "prompts_needed": {"median": 5, "most": 9},
    }
    bad = {**row, "verdict": "REGRESSION", "outcomes": {"PASS": 0, "REGRESSION": 10}}
    sound: dict[str, Any] = {
        "calibration": {
            "prompts": 100,
            "orders": 10,
            "steps": 8,
            "side_px": 64,
            "alpha": 0.001,
            "changes": {"identical": row, "defect": bad},
        },
        "speed": {
            "prompts": 5,
            "rounds": 3,
            "prompts_per_s": {"ray, 1 worker": [0.4, 0.6]},
            "median_prompts_per_s": {"bare loop": 0.5, "local": 0.5},
            "overhead": 0.03,
            "overhead_error": 0.01,
            "cpu_overhead": 0.01,
            "ray_overhead": 0.03,
            "ray_overhead_error": 0.01,
        },
        "memory": {
            "dimensions": 512,
            "runs": {
                "100": {"peak_bytes": 10**8, "bytes_on_disk": 10**5, "seconds": 1.0},
                "1100": {"peak_bytes": AT_THE_LIMIT, "bytes_on_disk": 10**6, "seconds": 9.0},
            },
        },
        "cost": computed_cost(DOCS),
        "missed": [],
    }
    return sound | changes


def test_sound_figures_miss_nothing() -> None:
    """At the limits all promises hold, and the page has every part."""
    assert missed(figures()) == []
    page = render(figures())
    assert page.count("\n## ") == 4
    assert "Promises missed: none." in page


def test_page_is_that_of_its_figures() -> None:
    """The published page is what its JSON gives now, and tells the promises that this breaks."""
    found = json.loads((DOCS / "evaluate.json").read_text(encoding="utf-8"))
    assert (DOCS / "evaluate.md").read_text(encoding="utf-8") == render(found)
    assert found["missed"] == missed(found)


def test_page_tells_what_its_clock_leaves_out() -> None:
    """What follows the last prompt has its own figure where it was measured; so has Ray beside a bare loop."""
    found = figures()
    assert "10.0 s (0.5%) where they are 100, 8.2 s (0.4%) where they are 1,100" in render(found)
    assert "it costs 3.00% (standard error 1.00%" in render(found)
    del found["memory"], found["speed"]["ray_overhead"]
    assert "to be added" not in render(found)
    assert "That was not measured" in render(found)


@pytest.mark.parametrize(
    ("part", "change", "told"),
    [
        ("speed", {"overhead": 0.031}, "overhead"),
        ("speed", {"ray_overhead": 0.031}, "ray overhead"),
        (
            "memory",
            {"runs": {**figures()["memory"]["runs"], "1100": {"peak_bytes": AT_THE_LIMIT + 1000}}},
            "memory grows",
        ),
        (
            "calibration",
            {"changes": {"identical": figures()["calibration"]["changes"]["defect"]}},
            "identical: 0 of 10",
        ),
        ("calibration", {"changes": {"defect": figures()["calibration"]["changes"]["identical"]}}, "defect: 0 of 10"),
    ],
)
def test_broken_promises_are_named(part: str, change: dict[str, Any], told: str) -> None:
    """A hair beyond each limit, and a verdict that is wrong."""
    found = figures()
    (problem,) = missed({**found, part: {**found[part], **change}})
    assert problem.startswith(told)


def test_more_gpus_take_less_time_and_more_starts() -> None:
    """Hours fall with the GPUs, GPU hours grow by what each worker's start takes."""
    for row in computed_cost(DOCS)["recipes"].values():
        assert row["hours"][1] > 7 * row["hours"][8] > 6 * 7 * row["hours"][64]
        assert row["gpu_hours"][1] < row["gpu_hours"][8] < row["gpu_hours"][64]
