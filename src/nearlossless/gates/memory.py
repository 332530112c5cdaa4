"""Does it still fit, and does it stay so?"""

from nearlossless.cases.thresholds import Thresholds
from nearlossless.gates.leaks import leak_checks, residue_check
from nearlossless.memory.peaks import SINCE_START
from nearlossless.processes.job import ProcessRun
from nearlossless.verdicts import Check, Outcome, Verdict, at_most, found, verdict

GIB = 1024**3


def judge_memory(
    baseline: ProcessRun | None,
    compiled: ProcessRun,
    thresholds: Thresholds,
    *,
    baseline_does_not_fit: str | None = None,
) -> Verdict:
    """
    Do the peaks stay within their budgets, does nothing grow from call to call, and is all given back at the end?

    The steady peak is held against the baseline's, or, where there is none, against the absolute budget.
    """
    if SINCE_START in [run.peaks.kind for run in (baseline, compiled) if run is not None]:
        note = "this system cannot reset a process's peak, so the steady state cannot be told from compilation"
        return verdict("memory", [found("steady peak", Outcome.NOT_COMPARABLE, note)])
    used, base = compiled.peaks.steady_bytes, baseline.peaks.steady_bytes if baseline is not None else 0
    if baseline_does_not_fit is not None:
        checks = [found("steady peak / baseline's", Outcome.NOT_APPLICABLE, baseline_does_not_fit)]
    else:
        kind = f"{compiled.peaks.kind} bytes, baseline {base / GIB:.3f} GiB, compiled {used / GIB:.3f} GiB"
        ratio = used / base if base > 0 and used > 0 else None
        checks = [at_most("steady peak / baseline's", ratio, thresholds.max_memory_ratio, note=kind)]
    if baseline_does_not_fit is not None or thresholds.max_peak_gib is not None:
        peak_gib = used / GIB if used > 0 else None
        note = f"{compiled.peaks.kind} bytes"
        checks.append(at_most("steady peak", peak_gib, thresholds.max_peak_gib, unit="GiB", note=note))
    checks += _phase_checks(compiled, thresholds)
    checks += [*leak_checks(compiled, thresholds), residue_check(compiled, thresholds)]
    return verdict("memory", checks + _untold(compiled))


def _phase_checks(compiled: ProcessRun, thresholds: Thresholds) -> list[Check]:
    """Each phase that has a budget; a phase that could not be told from the others is never green."""
    peaks = compiled.peaks
    measured = {"load": peaks.load_bytes, "first call": peaks.first_call_bytes, **peaks.steady_phase_bytes}
    checks = []
    for phase, budget in thresholds.max_phase_peak_gib.model_dump(exclude_none=True).items():
        name = phase.replace("_", " ")
        peak_gib = measured[name] / GIB if measured.get(name, 0) > 0 else None
        checks.append(at_most(f"peak, {name}", peak_gib, budget, unit="GiB", note=f"{compiled.peaks.kind} bytes"))
    return checks


def _untold(compiled: ProcessRun) -> list[Check]:
    """What the GPU's driver takes is reported, not judged: also that nobody can tell."""
    beyond = compiled.beyond_torch
    if beyond is None or beyond.bytes is not None:
        return []
    note = f"cannot be told: {beyond.problem}"
    return [found("GPU memory beyond torch's", Outcome.NOT_APPLICABLE, note)]
