"""The cost benchmarks' decisions: which promises count as missed, and how runs are read."""

import copy
from typing import Any

import pytest
from tests.benchmarks.cost.gate_page import summary
from tests.benchmarks.cost.gate_runs import GATES, OURS, THEIRS, phases_s
from tests.benchmarks.cost.memory import Keeping
from tests.benchmarks.cost.quality_page import MIB, missed

KEPT: dict[str, Any] = {
    "scores": [{"threads": 1, "ratios": [1.4, 1.5, 9.0]}, {"threads": 2, "ratios": [0.5]}],
    "parity": {"parity_ratios": [2.0, 3.0, 3.5]},
    "memory": {"more_over_many_bytes": 4 * MIB, "more_when_kept_bytes": 4 * MIB + 1},
}


def changed(part: str, **values: Any) -> dict[str, Any]:
    """Figures that keep every promise but this one."""
    found = copy.deepcopy(KEPT)
    place = found[part][0] if part == "scores" else found[part]
    place.update(values)
    return found


def test_promises_on_their_limits_are_kept() -> None:
    """Medians exactly at the limits miss nothing."""
    assert missed(KEPT) == []


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (changed("scores", ratios=[1.51]), "scores, 1 threads: 1.51"),
        (changed("scores", ratios=[float("nan")]), "scores, 1 threads"),
        (changed("parity", parity_ratios=[3.01]), "step parity: 3.01"),
        (changed("memory", more_over_many_bytes=4 * MIB + 1), "more over many pictures"),
        (changed("memory", more_when_kept_bytes=4 * MIB), "do not show"),
    ],
    ids=["scores", "not a number", "parity", "leak", "blind to a leak"],
)
def test_each_broken_promise_is_named(found: dict[str, Any], said: str) -> None:
    """A figure beyond its limit, or a planted leak that the measurement does not see, is missed, and nothing else."""
    (only,) = missed(found)
    assert said in only


def test_keeping_pipeline_keeps_and_draws() -> None:
    """The planted leak returns what the pipeline draws, keeps every output, and has the pipeline's attributes."""

    class Pipeline:
        vae = "decoder"

        def __call__(self, **options: Any) -> list[Any]:
            return [options]

    keeping = Keeping(Pipeline())
    outputs = [keeping(prompt="a"), keeping(prompt="b")]
    assert outputs == [[{"prompt": "a"}], [{"prompt": "b"}]]
    assert all(kept is output for kept, output in zip(keeping._kept, outputs, strict=True))
    assert keeping.vae == "decoder"


def test_phases_last_until_the_next_sign_of_life() -> None:
    """Counts within a phase belong to it, heartbeats begin none, other output is passed over; all seconds are there."""
    told = [
        (2.0, "collected 5 items\n"),
        (3.0, "\n    cold process: load"),
        (7.0, "\n    cold process: load: 20 s so far"),
        (9.0, "\n    pictures: 0 of 8"),
        (10.0, "\n    pictures: 1 of 8\n    pictures: 2 of 8"),
        (12.0, "\n    shapes: size 1 of 12"),
    ]
    assert phases_s(told, 15.0) == {
        "start of Python and pytest": 3.0,
        "cold process: load": 6.0,
        "pictures": 3.0,
        "shapes": 3.0,
    }


def test_summary_takes_medians_and_notices_red_runs() -> None:
    """Ratio and share come from medians over runs of a side; one red run of either side spoils the page."""

    def run(side: str, total_s: float, exit_code: int = 0) -> dict[str, Any]:
        own = {"phases_s": {"pictures": total_s}, "drawing": {"judged pairs": total_s / 2}} if side == OURS else {}
        gates = dict.fromkeys(GATES, total_s / 5)
        return {"side": side, "exit_code": exit_code, "total_s": total_s, "gates_s": gates, **own}

    runs = [run(OURS, 10.0), run(THEIRS, 40.0), run(THEIRS, 60.0), run(OURS, 30.0)]
    found = summary(runs)
    assert found["ratio"] == pytest.approx(20 / 50)
    assert found["share_of_calls"] == pytest.approx(0.5)
    assert found["medians_s"][THEIRS]["memory"] == pytest.approx(10)
    assert found["green"]
    assert not summary([*runs, run(THEIRS, 50.0, exit_code=1)])["green"]
