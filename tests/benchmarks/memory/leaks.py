"""Planted leaks over the number of calls, and benign changes: what the memory gate's checks make of each."""

from typing import Any

from tests.benchmarks.memory.runs import run

from nearlossless.cases.thresholds import Thresholds
from nearlossless.gates.leaks import GROWTH, LEAK, leak_checks
from nearlossless.memory.leaks import FIRST_LOOK, Rounds, host_slope_bytes, looks
from nearlossless.processes.job import ProcessRun

KIB, MIB = 1024, 1024**2
LEAKS_BYTES = (16 * KIB, 64 * KIB, 256 * KIB, MIB, 4 * MIB, 16 * MIB)
KINDS = {"host": LEAK, "tensors": GROWTH}
MOST_CALLS = 160
MOST_KEPT_BYTES = 3 * 1024 * MIB  # of the machine's memory: larger leaks are given fewer calls
NEVER_CLEAN = -1e12  # no leak is as negative: every call is made
BENIGN = ("nothing", "garbage", "allocator_growth", "cache_that_fills", "logs")


def first(rounds: Rounds, count: int) -> Rounds:
    """The first rounds alone, as if the calls had ended there."""
    readings = {"tensor_bytes": rounds.tensor_bytes[:count], "host_bytes": rounds.host_bytes[:count]}
    return rounds.model_copy(update=readings)


def outcome_of(process: ProcessRun, name: str, count: int | None = None) -> str:
    """What a check says after so many rounds, or after all."""
    assert process.rounds is not None
    rounds = process.rounds if count is None else first(process.rounds, count)
    checks = leak_checks(process.model_copy(update={"rounds": rounds}), Thresholds())
    return str(next(check.outcome for check in checks if check.name == name))


def leak_calls_for(size_bytes: int) -> int:
    """As many calls as fit, by half at a time; at least what the first look takes."""
    calls = MOST_CALLS
    while calls > 2 * FIRST_LOOK and calls * size_bytes > MOST_KEPT_BYTES:
        calls //= 2
    return calls


def measure_leaks(processes: int) -> list[dict[str, Any]]:
    """One row a process: what was planted, what was measured, and the outcome at each look."""
    rows = []
    for kind, name in KINDS.items():
        for size_bytes in LEAKS_BYTES:
            calls = leak_calls_for(size_bytes)
            for _ in range(processes):
                found = run("leak", leak_calls=calls, max_leak_kib=NEVER_CLEAN, kind=kind, size_bytes=size_bytes)
                rows.append({"kind": kind, "planted_bytes": size_bytes, **_figures(found, name, calls)})
    return rows


def _figures(found: ProcessRun, name: str, calls: int) -> dict[str, Any]:
    rounds = found.rounds
    assert rounds is not None
    counts, each = looks(calls, len(rounds.drawn)), len(rounds.drawn)
    slopes = {count * each: host_slope_bytes(first(rounds, count)) for count in counts}
    last = slopes[counts[-1] * each]
    assert last is not None
    limit_bytes = Thresholds().max_leak_kib_per_call * KIB
    return {
        "slope_bytes": last[0],
        "outcomes": {str(count * each): outcome_of(found, name, count) for count in counts},
        "would_show_bytes": {
            str(count): limit_bytes + slope[1].high - slope[0] for count, slope in slopes.items() if slope is not None
        },
        "tensor_bytes": (rounds.tensor_bytes[-1] - rounds.tensor_bytes[0]) / (len(rounds.tensor_bytes) - 1) / each,
    }


def measure_benign(processes: int) -> list[dict[str, Any]]:
    """One row a process: the calls that were made until all was decided, and both outcomes."""
    limit_kib = Thresholds().max_leak_kib_per_call
    rows = []
    for backend in BENIGN:
        for _ in range(processes):
            found = run(backend, leak_calls=MOST_CALLS, max_leak_kib=limit_kib)
            assert found.rounds is not None
            slope = host_slope_bytes(found.rounds)
            rows.append(
                {
                    "change": backend,
                    "calls": found.rounds.calls,
                    "slope_bytes": slope[0] if slope is not None else None,
                    "host": outcome_of(found, LEAK),
                    "tensors": outcome_of(found, GROWTH),
                    "residue_bytes": found.residue_bytes,
                }
            )
    return rows
