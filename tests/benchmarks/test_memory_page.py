"""The memory benchmark's decisions: which promises count as missed, and what its page shows."""

import copy
from typing import Any

import pytest
from tests.benchmarks.bench_memory_shapes import render as render_page
from tests.benchmarks.memory.leaks import MOST_KEPT_BYTES, leak_calls_for
from tests.benchmarks.memory.page import MIB, missed, render

from nearlossless.memory.leaks import FIRST_LOOK

KEPT: dict[str, Any] = {
    "leaks": [
        {
            "kind": "host",
            "planted_bytes": 65536,
            "slope_bytes": 65600.0,
            "outcomes": {"40": "REGRESSION", "80": "REGRESSION"},
            "would_show_bytes": {"40": 34000.0, "80": 33000.0},
        },
        {
            "kind": "host",
            "planted_bytes": 16384,
            "slope_bytes": 16400.0,
            "outcomes": {"40": "PASS"},
            "would_show_bytes": {"40": 34000.0},
        },
    ],
    "benign": [{"change": "logs", "calls": 40, "slope_bytes": 0.0, "host": "PASS", "tensors": "PASS"}],
    "figures": [{"figure": "residue", "known_bytes": 10 * MIB, "measured_bytes": 10 * MIB + 1, "off": 0.01}],
}


def changed(part: str, **values: Any) -> dict[str, Any]:
    """Figures that keep every promise but this one."""
    found = copy.deepcopy(KEPT)
    found[part][0].update(values)
    return found


def test_promises_on_their_limits_are_kept() -> None:
    """Leaks from 64 KiB on that are caught, a smaller one that passes, and 1 % off miss nothing."""
    assert missed(KEPT) == []


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (changed("leaks", outcomes={"40": "INCONCLUSIVE", "80": "REGRESSION"}), "64 KiB a call, host: INCONCLUSIVE"),
        (changed("benign", host="INCONCLUSIVE"), "logs: host INCONCLUSIVE, tensors PASS"),
        (changed("benign", tensors="REGRESSION"), "logs: host PASS, tensors REGRESSION"),
        (changed("figures", off=0.0101), "residue"),
        (changed("figures", off=None), "residue"),
        (changed("figures", off=float("nan")), "residue"),
    ],
)
def test_each_broken_promise_is_named(found: dict[str, Any], said: str) -> None:
    """A leak in doubt, a benign change that is not green, and a figure that is off or missing are missed, alone."""
    (only,) = missed(found)
    assert said in only


def test_page_tells_each_count_of_calls() -> None:
    """A row for each leak and number of calls, and the page says on what it was measured and what is missed."""
    assert "| 64 KiB | host | 80 | REGRESSION 1 of 1 | 64.1 KiB | 32.2 KiB |" in render(KEPT)
    machine = {"cpu": "a processor", "threads": 2, "torch": "2.13.0"}
    page = render_page({"memory": {**KEPT, **machine}, "missed": ["something"]})
    assert "Measured on a processor, 2 threads, torch 2.13.0." in page
    assert page.endswith("## Missed\n\n- something\n")


@pytest.mark.parametrize("size_bytes", [1, MIB, 16 * MIB, 64 * MIB])
def test_large_leaks_take_fewer_calls(size_bytes: int) -> None:
    """What a leak keeps stays within the machine's memory, as far as the first look allows."""
    calls = leak_calls_for(size_bytes)
    assert calls == 2 * FIRST_LOOK or calls * size_bytes <= MOST_KEPT_BYTES
