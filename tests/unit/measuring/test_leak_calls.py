"""Rounds of calls for real, of pipelines that keep a known number of bytes or nothing."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from nearlossless.cases.case import Case
from nearlossless.measuring.leak_calls import draw_rounds, leak_batches
from nearlossless.memory.held import host_bytes
from nearlossless.memory.leaks import FIRST_LOOK, Rounds, host_slope_bytes, judged, tensor_growth_bytes

KIB, MIB = 1024, 1024**2
can_tell = pytest.mark.skipif(host_bytes() is None, reason="the system does not tell a process's own pages")


class Painter:
    """Draws one grey picture a call, and does something with every call."""

    def __init__(self, each: Callable[[int], object] = lambda _number: None) -> None:
        self._each = each
        self.drawn: list[tuple[str, int, int, int]] = []

    def __call__(self, *, prompt: str, height: int, width: int, num_inference_steps: int, **_: Any) -> Any:
        """Draw."""
        self.drawn.append((prompt, height, width, num_inference_steps))
        self._each(len(self.drawn))
        return type("Output", (), {"images": [Image.new("RGB", (width, height), "grey")]})


def rounds_of(case: Case, each: Callable[[int], object] = lambda _number: None, **options: Any) -> Rounds:
    """The rounds of a painter."""
    return draw_rounds(Painter(each), case, "cpu", **{"all_sizes": True, "max_leak_kib": 32.0, **options})


def test_calls_go_round_the_smallest_sizes_and_two_prompts(miniature_case: Case) -> None:
    """The two smallest sizes, each with a prompt of its own, in few steps, for as long as one look takes."""
    painter = Painter()
    rounds = draw_rounds(painter, miniature_case, "cpu", all_sizes=True, max_leak_kib=32.0)
    assert rounds.drawn == ("64x64", "64x128")
    first, second = painter.drawn[:2]
    generation = miniature_case.generation
    prompt, steps = generation.prompts[0], generation.size_steps
    assert (first, second) == ((prompt, 64, 64, steps), (prompt, 128, 64, steps))
    assert painter.drawn == [first, second] * (FIRST_LOOK + 1)
    assert len(rounds.tensor_bytes) == FIRST_LOOK
    assert rounds.calls == 2 * FIRST_LOOK


def test_recipe_for_one_size_is_asked_for_no_other(miniature_case: Case) -> None:
    """Where the recipe is for one size, every call draws the case's own, still of two batches."""
    first, second = leak_batches(miniature_case.generation, all_sizes=False)
    assert {(request.height, request.width) for request in first + second} == {(128, 128)}
    assert first != second


@can_tell
@pytest.mark.parametrize("leak_bytes", [64 * KIB, MIB])
def test_planted_leak_is_measured_within_one_percent(tiny_case: Case, leak_bytes: int) -> None:
    """Bytes of the host's that each call keeps are the slope a call, after all the calls that the case allows."""
    kept: list[bytearray] = []
    rounds = rounds_of(tiny_case, lambda _number: kept.append(bytearray(b"\1") * leak_bytes))
    found = host_slope_bytes(rounds)
    assert found is not None
    assert found[0] == pytest.approx(leak_bytes, rel=0.01 if leak_bytes == MIB else 0.1)
    assert found[1].low > 32 * KIB
    assert rounds.calls == tiny_case.sampling.leak_calls


def test_kept_tensor_is_counted_to_the_byte(tiny_case: Case) -> None:
    """1000 bytes a call in tensors are 2000 a round, over all the rounds that lie between the judged halves."""
    kept: list[torch.Tensor] = []
    rounds = rounds_of(tiny_case, lambda _number: kept.append(torch.zeros(1000, dtype=torch.uint8)))
    assert tensor_growth_bytes(rounds) == 2000 * len(judged(rounds.tensor_bytes)) // 2


@can_tell
def test_cache_that_fills_once_is_waited_for(tiny_case: Case) -> None:
    """A cache that takes 1 MiB a call until it holds 40 takes more rounds than one look, and is clean in the end."""
    cache: dict[int, bytearray] = {}

    def fill(number: int) -> None:
        cache[number % 40] = bytearray(b"\1") * MIB

    rounds = rounds_of(tiny_case, fill)
    found = host_slope_bytes(rounds)
    assert found is not None
    assert len(rounds.tensor_bytes) == 2 * FIRST_LOOK
    assert found[1].high <= 32 * KIB


@can_tell
@pytest.mark.parametrize("kind", ["cycles", "large and small blocks", "numpy and torch"])
def test_garbage_is_no_leak(tiny_case: Case, kind: str) -> None:
    """Cycles that wait for the collector, and memory that is freed in any order and by any library, are clean."""
    sizes = itertools.cycle([100, 70_000, 3_000, 9_000_000, 12, 500_000])

    def litter(_number: int) -> None:
        if kind == "cycles":
            cycle: list[Any] = [bytearray(MIB)]
            cycle.append(cycle)
        elif kind == "numpy and torch":
            np.ones(MIB, dtype=np.uint8).sum()
            torch.ones(MIB, dtype=torch.uint8).sum()
        else:
            blocks = [bytearray(b"\1") * next(sizes) for _ in range(50)]
            del blocks[::2]

    rounds = rounds_of(tiny_case, litter)
    found = host_slope_bytes(rounds)
    assert found is not None
    assert found[1].high <= 32 * KIB
    assert tensor_growth_bytes(rounds) == 0


def test_time_limit_ends_the_calls(tiny_case: Case) -> None:
    """At the limit the rounds so far are handed over, fewer than any verdict needs."""
    seconds = itertools.count(step=20.0)
    rounds = rounds_of(tiny_case, clock=lambda: next(seconds))
    assert 0 < len(rounds.tensor_bytes) < FIRST_LOOK
    assert host_slope_bytes(rounds) is None


def test_compiling_for_another_size_takes_none_of_the_time(tiny_case: Case) -> None:
    """However long the first round takes, in which another size may compile, the readings have their time."""
    now = [0.0]

    def compile_first(number: int) -> None:
        now[0] += 1000.0 if number <= 2 else 0.1

    rounds = rounds_of(tiny_case, compile_first, clock=lambda: now[0])
    assert len(rounds.tensor_bytes) >= FIRST_LOOK


def test_call_that_fails_leaves_what_was_read(tiny_case: Case) -> None:
    """A pipeline that fails at its eleventh call is told with its error, after the four rounds that it did draw."""

    def fail(number: int) -> None:
        if number == 11:
            raise ValueError("planted: no more")

    rounds = rounds_of(tiny_case, fail)
    assert rounds.problem is not None
    assert "planted: no more" in rounds.problem
    assert len(rounds.tensor_bytes) == 4


def test_system_that_falls_silent_tells_nothing(tiny_case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """One reading of the host's that is missing leaves none: no reading may be taken for that of another round."""
    readings = itertools.chain([1, 2, None], itertools.repeat(3))
    monkeypatch.setattr("nearlossless.measuring.leak_calls.host_bytes", lambda: next(readings))
    rounds = rounds_of(tiny_case)
    assert (len(rounds.tensor_bytes) >= FIRST_LOOK, rounds.host_bytes) == (True, [])
