"""What is compiled is caught and named by its function and guard, on every version of torch; what is not, is not."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from tests.benchmarks.shapes_cycle import is_named, is_refused, measure, missed, render, watched
from tests.benchmarks.shapes_cycle.planted import BENIGN, PLANTED, Planted

from nearlossless.shapes.recompiles import counted_recordings, parsed, recompile_log, told_compiles


@pytest.fixture(autouse=True)
def _fresh_dynamo() -> Iterator[None]:
    torch.compiler.reset()
    yield
    torch.compiler.reset()


@pytest.mark.parametrize("case", PLANTED, ids=[case.name for case in PLANTED])
def test_planted_recompilation_is_caught_and_named(case: Planted) -> None:
    """The counters move, and torch's log names the function and the guard that failed."""
    count, told = watched(case.build)
    assert count > 0
    assert is_named(case, told), told
    assert any("planted.py:" in each.place for each in told)


@pytest.mark.parametrize("name", BENIGN)
def test_benign_change_compiles_nothing(name: str) -> None:
    """What compiles nothing is neither counted nor told."""
    assert watched(BENIGN[name]) == (0, [])


@pytest.mark.parametrize("case", [case for case in PLANTED if case.name != "new frame"], ids=lambda case: case.name)
def test_torchs_own_guard_refuses_recompilations(case: Planted) -> None:
    """A failed guard is refused by fail_on_recompile, and before torch 2.6 by error_on_recompile."""
    assert is_refused(case.build)


def test_new_frame_is_refused_where_torch_can() -> None:
    """Only the stance refuses the first compile of a frame; elsewhere the counters alone catch it."""
    (case,) = [case for case in PLANTED if case.name == "new frame"]
    assert is_refused(case.build) is hasattr(torch.compiler, "set_stance")


def test_log_is_as_it_was_afterwards() -> None:
    """Neither torch's log settings nor the logger's handlers, level and propagation are left changed."""
    from torch._logging._internal import log_state

    logger = logging.getLogger("torch._dynamo.guards.__recompiles")

    def state() -> tuple[object, ...]:
        return set(log_state.artifact_names), list(logger.handlers), logger.level, logger.propagate

    before = state()
    with pytest.raises(RuntimeError, match="inside"), recompile_log():
        raise RuntimeError("inside")
    assert state() == before


def test_only_what_happens_inside_is_told() -> None:
    """What was compiled before the block is not told again."""
    function = torch.compile(lambda x: x + 1, backend="eager")
    function(torch.ones(3))
    with told_compiles() as told:
        function(torch.ones(3))
    assert told == []


def test_message_without_guard_is_told_as_such() -> None:
    """A recompilation of which torch names no guard is still named, and other messages are not taken for one."""
    found = parsed("Recompiling function f in /a/b.py:3\n    triggered by the following guard failure(s):\n")
    assert found is not None
    assert (found.function, found.place, found.guard) == ("f", "/a/b.py:3", "torch names no guard")
    assert parsed("something else") is None


def test_recordings_of_cuda_graphs_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call of Inductor's recording method inside the block counts, and none after it."""
    from torch._inductor.cudagraph_trees import CUDAGraphTreeManager

    monkeypatch.setattr(CUDAGraphTreeManager, "record_function", lambda *_arguments: "recorded")
    manager: Any = object.__new__(CUDAGraphTreeManager)
    with counted_recordings() as count:
        assert count() == 0
        assert manager.record_function([], None) == "recorded"
        assert count() == 1
    manager.record_function([], None)
    assert count() == 1


def test_measured_section_says_what_was_caught() -> None:
    """The section counts what was caught and named, and has a row for each change."""
    data = measure()
    text = render(data)
    assert missed(data) == []
    assert f"{len(PLANTED)} of {len(PLANTED)} planted recompilations were caught, {len(PLANTED)} named" in text
    assert f"0 of {len(BENIGN)} benign changes were flagged" in text
    assert all(f"| {name} |" in text for name in (*BENIGN, *(case.name for case in PLANTED)))


def test_broken_promises_are_told() -> None:
    """What is not caught, not named or flagged without reason stands among the missed."""
    planted = {"name": "dtype", "compiles": 0, "is_named": False}
    data = {"planted": [planted], "benign": [{"name": "logging", "compiles": 1}]}
    assert missed(data) == ["not caught: dtype", "not named: dtype", "flagged: logging"]
