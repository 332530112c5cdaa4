"""Is every denoising step as exact as the baseline's?"""

import math
from dataclasses import replace

from nearlossless.record import ParityRecord, StepParity
from nearlossless.thresholds import Thresholds
from nearlossless.verdicts import Check, Outcome, at_most, found

PARITY = "step parity"
# The largest of thousands of rounding errors scatters more than their RMS: harmless compilations of the miniature move
# the RMS by 6 % and the largest by 79 %, so that it may be twice as far off.
LARGEST_ALLOWANCE = 2.0
# Of the RMS error; a bias adds up from step to step. SGLang admits kernels by the same quarter.
MAX_BIAS_SHARE = 0.25


def parity_checks(parity: ParityRecord, thresholds: Thresholds) -> list[Check]:
    """Of each figure of step parity the worst step, and every step that has a problem."""
    if parity.not_applicable is not None:
        return [found(PARITY, Outcome.NOT_APPLICABLE, parity.not_applicable)]
    if parity.problem is not None or not parity.steps:
        return [found(PARITY, Outcome.NOT_COMPARABLE, parity.problem or "no step was measured")]
    for step in parity.steps:
        if step.problem is not None:
            return [_located(found(PARITY, Outcome.REGRESSION, step.problem, of=f"step {step.step + 1}"), parity)]
    ceiling = thresholds.max_parity_ratio
    figures: dict[str, tuple[str, float | None]] = {
        PARITY: ("ratio", ceiling),
        f"{PARITY}, largest error": ("max_ratio", None if ceiling is None else LARGEST_ALLOWANCE * ceiling),
        f"{PARITY}, bias": ("bias_share", MAX_BIAS_SHARE),
    }
    checks = []
    for name, (figure, threshold) in figures.items():
        worst = max(parity.steps, key=lambda step: _or_infinite(getattr(step, figure)))
        of, note = f"step {worst.step + 1}", _step_note(worst, figure, parity)
        checks.append(at_most(name, getattr(worst, figure), threshold, of=of, note=note))
    first = next((i for i, check in enumerate(checks) if check.outcome is Outcome.REGRESSION), None)
    return [_located(check, parity) if i == first else check for i, check in enumerate(checks)]


def _located(check: Check, parity: ParityRecord) -> Check:
    return check if parity.divergence is None else replace(check, note=f"{check.note}; {parity.divergence}")


def _or_infinite(value: float | None) -> float:
    return math.inf if value is None or math.isnan(value) else value


def _step_note(step: StepParity, figure: str, parity: ParityRecord) -> str:
    shown = {
        "ratio": ("RMS", step.baseline_rms, step.compiled_rms),
        "max_ratio": ("largest", step.baseline_max, step.compiled_max),
        "bias_share": ("mean", step.baseline_bias, step.compiled_bias),
    }
    kind, baseline, compiled = shown[figure]
    if baseline is None or compiled is None:
        return "nothing finite to compare"
    return (
        f"worst of {len(parity.steps)}; {kind} error against {parity.reference}: baseline {baseline:.3g},"
        f" compiled {compiled:.3g}"
    )


def is_parity_regression(step: StepParity, thresholds: Thresholds) -> bool:
    """Whether one step alone is one."""
    checks = parity_checks(ParityRecord(steps=[step]), thresholds)
    return any(check.outcome is Outcome.REGRESSION for check in checks)
