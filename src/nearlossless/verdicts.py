"""
Numbers and thresholds in, a verdict with its reason out.

Pure: imports neither torch nor pytest, reads no file, measures nothing. A figure that is missing, NaN or
infinite is never green, and neither is a threshold that nobody has measured yet.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from nearlossless.sequential import Interval

MOST_TOLD = 3  # checks that a reason spells out; the record has them all

EXIT_REGRESSION = 1  # pytest's own code for failed tests
EXIT_UNDECIDED = 10  # nothing regressed, but something was INCONCLUSIVE or NOT_COMPARABLE


class Outcome(StrEnum):
    """How a gate ended. Only PASS is green."""

    PASS = "PASS"  # noqa: S105 (no password)
    REGRESSION = "REGRESSION"
    INCONCLUSIVE = "INCONCLUSIVE"
    NOT_COMPARABLE = "NOT_COMPARABLE"
    NOT_APPLICABLE = "NOT_APPLICABLE"


# Of several checks the worst decides.
_SEVERITY = (
    Outcome.NOT_APPLICABLE,
    Outcome.PASS,
    Outcome.INCONCLUSIVE,
    Outcome.NOT_COMPARABLE,
    Outcome.REGRESSION,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One figure held against one threshold."""

    name: str
    outcome: Outcome
    obtained: float | None
    threshold: float | None
    comparison: str  # ">=" or "<="
    unit: str
    note: str = ""
    interval: Interval | None = None
    path: str | None = None

    def __str__(self) -> str:
        if not self.comparison:
            return f"{self.name}: {self.note}" + (f" [{self.path}]" if self.path else "")
        obtained = "nothing" if self.obtained is None else f"{self.obtained:.5g}{_spaced(self.unit)}"
        if self.interval is not None and math.isfinite(self.interval.low):
            obtained += f" [{self.interval.low:.5g}, {self.interval.high:.5g}]"
        required = "not yet measured" if self.threshold is None else f"{self.threshold:.5g}{_spaced(self.unit)}"
        text = f"{self.name}: obtained {obtained}, required {self.comparison} {required}"
        if self.note:
            text += f" ({self.note})"
        if self.path:
            text += f" [{self.path}]"
        return text


def _spaced(unit: str) -> str:
    return f" {unit}" if unit else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The answer of one gate."""

    gate: str
    outcome: Outcome
    reason: str
    checks: tuple[Check, ...] = field(default=())

    @property
    def is_pass(self) -> bool:
        """Whether the gate is green."""
        return self.outcome is Outcome.PASS

    def __str__(self) -> str:
        return f"{self.outcome} {self.gate}: {self.reason}"


def verdict(gate: str, checks: Sequence[Check]) -> Verdict:
    """The worst of the checks; the reason tells the ones that decided, furthest off first. No check: NOT_COMPARABLE."""
    if not checks:
        return stopped(gate, Outcome.NOT_COMPARABLE, "nothing was checked")
    outcome = max((check.outcome for check in checks), key=_SEVERITY.index)
    deciding = sorted((check for check in checks if check.outcome is outcome), key=_headroom)
    told = [str(check) for check in deciding[:MOST_TOLD]]
    if len(deciding) > MOST_TOLD:
        told.append(f"and {len(deciding) - MOST_TOLD} more {outcome}")
    return Verdict(gate=gate, outcome=outcome, reason="\n".join(told), checks=tuple(checks))


def _headroom(check: Check) -> float:
    """How far a figure lies on the good side of its threshold, as a share of it; negative when it is beyond."""
    if check.obtained is None or not check.threshold or not math.isfinite(check.obtained):
        return -math.inf
    headroom = check.obtained / check.threshold - 1
    return headroom if check.comparison == ">=" else -headroom


def stopped(gate: str, outcome: Outcome, reason: str) -> Verdict:
    """A verdict without figures: something kept the gate from measuring, or the case declares it away."""
    return Verdict(gate=gate, outcome=outcome, reason=reason)


def exit_code(outcomes: Sequence[Outcome]) -> int:
    """0 when all is green, EXIT_REGRESSION on any regression, EXIT_UNDECIDED when evidence is missing."""
    if Outcome.REGRESSION in outcomes:
        return EXIT_REGRESSION
    if Outcome.INCONCLUSIVE in outcomes or Outcome.NOT_COMPARABLE in outcomes:
        return EXIT_UNDECIDED
    return 0


def at_least(
    name: str,
    obtained: float | None,
    threshold: float | None,
    *,
    unit: str = "",
    note: str = "",
    path: str | None = None,
) -> Check:
    """PASS when `obtained` reaches `threshold`; equal is enough."""
    return _against(name, obtained, threshold, ">=", unit=unit, note=note, path=path)


def at_most(
    name: str,
    obtained: float | None,
    threshold: float | None,
    *,
    unit: str = "",
    note: str = "",
    path: str | None = None,
) -> Check:
    """PASS when `obtained` does not exceed `threshold`; equal is enough."""
    return _against(name, obtained, threshold, "<=", unit=unit, note=note, path=path)


def _against(
    name: str,
    obtained: float | None,
    threshold: float | None,
    comparison: str,
    *,
    unit: str,
    note: str,
    path: str | None,
) -> Check:
    outcome = Outcome.NOT_COMPARABLE
    if obtained is not None and threshold is not None and math.isfinite(obtained):
        reached = obtained >= threshold if comparison == ">=" else obtained <= threshold
        outcome = Outcome.PASS if reached else Outcome.REGRESSION
    return Check(
        name=name,
        outcome=outcome,
        obtained=obtained,
        threshold=threshold,
        comparison=comparison,
        unit=unit,
        note=note,
        path=path,
    )


def interval_at_least(
    name: str, obtained: float | None, interval: Interval, threshold: float | None, *, unit: str = "", note: str = ""
) -> Check:
    """PASS when the whole interval reaches `threshold`, REGRESSION when none of it does, else INCONCLUSIVE."""
    if threshold is None or obtained is None or not math.isfinite(obtained):
        outcome = Outcome.NOT_COMPARABLE
    elif interval.low >= threshold:
        outcome = Outcome.PASS
    elif interval.high < threshold:
        outcome = Outcome.REGRESSION
    else:
        outcome = Outcome.INCONCLUSIVE
    return Check(
        name=name,
        outcome=outcome,
        obtained=obtained,
        threshold=threshold,
        comparison=">=",
        unit=unit,
        note=note,
        interval=interval,
    )


def found(name: str, outcome: Outcome, note: str, *, path: str | None = None) -> Check:
    """A check that no figure describes: a black picture, a missing baseline."""
    return Check(
        name=name, outcome=outcome, obtained=None, threshold=None, comparison="", unit="", note=note, path=path
    )
