"""Is every denoising step as exact as the baseline's?"""

import math
from dataclasses import replace
from functools import partial

from nearlossless.cases.thresholds import Thresholds
from nearlossless.record.quality import ParityRecord, StepParity
from nearlossless.verdicts import Check, Outcome, at_most, found

PARITY = "step parity"
# At some step or other a cancellation magnifies the rounding of one of the two alone. Over 48 harmless runs of the
# miniature the median step moved by 1.3 % at most, the worst of 14 reached 1.44 (and 1.56 in a run besides), and its
# largest error 3.6 (3.8). So the median is held to the ceiling, any one step to twice it, any one error to six times.
STEP_ALLOWANCE, LARGEST_ALLOWANCE = 2.0, 6.0
# Of the RMS error; a bias adds up from step to step. SGLang admits kernels by the same quarter.
MAX_BIAS_SHARE = 0.25


def parity_checks(parity: ParityRecord, thresholds: Thresholds) -> list[Check]:
    """The median step, the worst step of each figure, and the first step that has a problem."""
    if parity.not_applicable is not None:
        return [found(PARITY, Outcome.NOT_APPLICABLE, parity.not_applicable)]
    if parity.problem is not None or not parity.steps:
        return [found(PARITY, Outcome.NOT_COMPARABLE, parity.problem or "no step was measured")]
    for step in parity.steps:
        if step.problem is not None:
            return [_located(found(PARITY, Outcome.REGRESSION, step.problem, of=f"step {step.step + 1}"), parity)]
    ceiling = thresholds.max_parity_ratio
    figures: list[tuple[str, str, float, float | None]] = [
        (PARITY, "ratio", 0.5, ceiling),
        (f"{PARITY}, worst step", "ratio", 1.0, None if ceiling is None else STEP_ALLOWANCE * ceiling),
        (f"{PARITY}, largest error", "max_ratio", 1.0, None if ceiling is None else LARGEST_ALLOWANCE * ceiling),
        (f"{PARITY}, bias", "bias_share", 1.0, MAX_BIAS_SHARE),
    ]
    checks = []
    for name, figure, quantile, threshold in figures:
        ordered = sorted(parity.steps, key=partial(_figure_of, figure))
        chosen = ordered[min(int(quantile * len(ordered)), len(ordered) - 1)]
        of, note = f"step {chosen.step + 1}", _step_note(chosen, figure, "worst" if quantile == 1 else "median", parity)
        checks.append(at_most(name, getattr(chosen, figure), threshold, of=of, note=note))
    first = next((i for i, check in enumerate(checks) if check.outcome is Outcome.REGRESSION), None)
    return [_located(check, parity) if i == first else check for i, check in enumerate(checks)]


def _located(check: Check, parity: ParityRecord) -> Check:
    return check if parity.divergence is None else replace(check, note=f"{check.note}; {parity.divergence}")


def _figure_of(figure: str, step: StepParity) -> float:
    value = getattr(step, figure)
    return math.inf if value is None or math.isnan(value) else value


def _step_note(step: StepParity, figure: str, which: str, parity: ParityRecord) -> str:
    shown = {
        "ratio": ("RMS", step.baseline_rms, step.compiled_rms),
        "max_ratio": ("largest", step.baseline_max, step.compiled_max),
        "bias_share": ("mean", step.baseline_bias, step.compiled_bias),
    }
    kind, baseline, compiled = shown[figure]
    if baseline is None or compiled is None:
        return "nothing finite to compare"
    return (
        f"{which} of {len(parity.steps)}; {kind} error against {parity.reference}: baseline {baseline:.3g},"
        f" compiled {compiled:.3g}"
    )


def is_parity_regression(step: StepParity, thresholds: Thresholds) -> bool:
    """Whether one step alone is one."""
    checks = parity_checks(ParityRecord(steps=[step]), thresholds)
    return any(check.outcome is Outcome.REGRESSION for check in checks)
