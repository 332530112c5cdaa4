"""Leaks and residue held against their thresholds, on both sides of each, and what was not measured."""

from collections.abc import Callable
from typing import Any

import pytest

from nearlossless.cases.thresholds import Thresholds
from nearlossless.gates import judge_memory
from nearlossless.gates.leaks import GROWTH, LEAK, RESIDUE
from nearlossless.memory.leaks import FIRST_LOOK, Rounds
from nearlossless.processes.job import ProcessRun
from nearlossless.verdicts import Check, Outcome, Verdict

KIB, MIB = 1024, 1024**2
MakeRun = Callable[..., ProcessRun]


def line(slope: int, count: int = FIRST_LOOK) -> list[int]:
    """Readings that grow by so many bytes each."""
    return [MIB + slope * step for step in range(count)]


def rounds_of(**changes: Any) -> Rounds:
    """Rounds of one call after which nothing stays, with changes."""
    return Rounds.model_validate({"drawn": ("64x64",), "tensor_bytes": line(0), "host_bytes": line(0)} | changes)


def judged(process_run: MakeRun, thresholds: Thresholds | None = None, **changes: Any) -> Verdict:
    """The memory verdict on a compiled process with changes, whose peak is the baseline's."""
    limits = (thresholds or Thresholds()).overridden_by(Thresholds(max_memory_ratio=1.5))
    return judge_memory(process_run(), process_run(**changes), limits)


def check_of(verdict: Verdict, name: str) -> Check:
    """The only check of a name."""
    (check,) = [check for check in verdict.checks if check.name == name]
    return check


@pytest.mark.parametrize(
    ("slope", "outcome"), [(32 * KIB, Outcome.PASS), (32 * KIB + 1, Outcome.REGRESSION), (-KIB, Outcome.PASS)]
)
def test_host_leak_turns_at_its_ceiling(process_run: MakeRun, slope: int, outcome: Outcome) -> None:
    """By default a call may leave 32 KiB of host memory behind, and not a byte more."""
    verdict = judged(process_run, rounds=rounds_of(host_bytes=line(slope)))
    assert verdict.outcome is outcome
    assert check_of(verdict, LEAK).outcome is outcome


def test_host_leak_is_told_with_its_interval_and_what_would_show(process_run: MakeRun) -> None:
    """The reason names the slope in KiB, its interval, the ceiling, the calls, and the leak that would show."""
    reason = judged(process_run, rounds=rounds_of(host_bytes=line(64 * KIB))).reason
    assert "host memory, leak a call: obtained 64 KiB [64, 64], required <= 32 KiB" in reason
    assert "last 10 of 20 rounds of 64x64; a leak of 32 KiB would show" in reason


def test_host_leak_in_doubt_is_inconclusive(process_run: MakeRun) -> None:
    """An interval that holds the ceiling decides nothing: not green, and no regression either."""
    noisy = [value + (step % 2) * 40 * MIB for step, value in enumerate(line(32 * KIB))]
    verdict = judged(process_run, rounds=rounds_of(host_bytes=noisy))
    assert check_of(verdict, LEAK).outcome is Outcome.INCONCLUSIVE
    assert verdict.outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize(("limit_kib", "outcome"), [(5.0, Outcome.PASS), (4.99, Outcome.REGRESSION)])
def test_tensor_growth_turns_at_its_ceiling(process_run: MakeRun, limit_kib: float, outcome: Outcome) -> None:
    """A tensor of 1 KiB a round makes 5 KiB between the halves of the ten readings that are judged."""
    limits = Thresholds(max_tensor_growth_kib=limit_kib)
    assert judged(process_run, limits, rounds=rounds_of(tensor_bytes=line(KIB))).outcome is outcome


def test_single_byte_of_tensors_is_a_regression_by_default(process_run: MakeRun) -> None:
    """Coming back to a size and prompt comes back to the same bytes."""
    verdict = judged(process_run, rounds=rounds_of(tensor_bytes=line(1)))
    assert verdict.outcome is Outcome.REGRESSION
    assert check_of(verdict, GROWTH).outcome is Outcome.REGRESSION


@pytest.mark.parametrize(
    ("left", "outcome"),
    [(64 * MIB, Outcome.PASS), (64 * MIB + 1, Outcome.REGRESSION), (None, Outcome.NOT_COMPARABLE)],
)
def test_residue_turns_at_its_ceiling(process_run: MakeRun, left: int | None, outcome: Outcome) -> None:
    """By default 64 MiB of tensors may outlive the pipeline; one that was not measured is never green."""
    verdict = judged(process_run, residue_bytes=left)
    assert verdict.outcome is outcome
    assert check_of(verdict, RESIDUE).outcome is outcome


@pytest.mark.parametrize(
    ("rounds", "said"),
    [
        (None, "no calls were made"),
        (rounds_of(tensor_bytes=[], host_bytes=[]), "only 0 rounds"),
        (rounds_of(tensor_bytes=line(0, 9), host_bytes=line(0, 9)), "only 9 rounds of 64x64 within sampling"),
        (rounds_of(host_bytes=[]), "does not tell a process's own pages"),
    ],
    ids=["none", "empty", "few", "silent system"],
)
def test_missing_readings_are_never_green(process_run: MakeRun, rounds: Rounds | None, said: str) -> None:
    """No calls, too few of them, or a system that tells nothing is NOT_COMPARABLE, in words."""
    verdict = judged(process_run, rounds=rounds)
    assert verdict.outcome is Outcome.NOT_COMPARABLE
    assert said in verdict.reason


def test_failed_call_is_a_regression(process_run: MakeRun) -> None:
    """A pipeline that stops drawing in the middle of the calls is no leak, but no pass either."""
    rounds = rounds_of(tensor_bytes=line(0, 3), host_bytes=line(0, 3), problem="drawing 64x64: ValueError: planted")
    verdict = judged(process_run, rounds=rounds)
    assert verdict.outcome is Outcome.REGRESSION
    assert "after 3 calls one failed that was to show leaks: drawing 64x64: ValueError: planted" in verdict.reason
