"""Does memory stay where it is from call to call, and is it given back at the end?"""

from nearlossless.cases.thresholds import Thresholds
from nearlossless.memory.leaks import FIRST_LOOK, Rounds, host_slope_bytes, tensor_growth_bytes
from nearlossless.processes.job import ProcessRun
from nearlossless.verdicts import Check, Outcome, at_most, found, interval_at_most

KIB, MIB = 1024, 1024**2
GROWTH, LEAK, RESIDUE = "tensors, growth", "host memory, leak a call", "residue"


def leak_checks(compiled: ProcessRun, thresholds: Thresholds) -> list[Check]:
    """Growth of torch's tensors and of host memory over rounds of calls; what was not measured is never green."""
    rounds = compiled.rounds
    if rounds is None:
        return [found("leaks", Outcome.NOT_COMPARABLE, "no calls were made for them")]
    if rounds.problem is not None:
        note = f"after {rounds.calls} calls one failed that was to show leaks: {rounds.problem}"
        return [found("leaks", Outcome.REGRESSION, note)]
    return [_tensor_check(rounds, thresholds), _host_check(rounds, thresholds)]


def _tensor_check(rounds: Rounds, thresholds: Thresholds) -> Check:
    growth = tensor_growth_bytes(rounds)
    growth_kib = growth / KIB if growth is not None else None
    note = _over(rounds, len(rounds.tensor_bytes))
    return at_most(GROWTH, growth_kib, thresholds.max_tensor_growth_kib, unit="KiB", note=note)


def _host_check(rounds: Rounds, thresholds: Thresholds) -> Check:
    limit_kib = thresholds.max_leak_kib_per_call
    slope = host_slope_bytes(rounds)
    if slope is None:
        silent = "" if rounds.host_bytes else "this system does not tell a process's own pages"
        return at_most(LEAK, None, limit_kib, unit="KiB", note=silent or _over(rounds, len(rounds.host_bytes)))
    leak, interval = slope[0] / KIB, slope[1].scaled(1 / KIB)
    shows = limit_kib + interval.high - leak
    note = f"{_over(rounds, len(rounds.host_bytes))}; a leak of {shows:.3g} KiB would show"
    return interval_at_most(LEAK, leak, interval, limit_kib, unit="KiB", note=note)


def _over(rounds: Rounds, readings: int) -> str:
    told = f"{readings} rounds of {' and '.join(rounds.drawn)}"
    if readings < FIRST_LOOK:
        return f"only {told} within sampling.leak_budget_s, {FIRST_LOOK} are needed"
    return f"last {readings - readings // 2} of {told}"


def residue_check(compiled: ProcessRun, thresholds: Thresholds) -> Check:
    """What is left in tensors after the pipeline is gone."""
    left = compiled.residue_bytes
    note = "in torch's tensors after the pipeline was deleted and the compiler reset"
    return at_most(RESIDUE, left / MIB if left is not None else None, thresholds.max_residue_mib, unit="MiB", note=note)
