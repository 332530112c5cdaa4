"""
Numbers and thresholds in, a verdict with its reason out.

Pure: imports neither torch nor pytest, reads no file, measures nothing. A figure that is missing, NaN or
infinite is never green, and neither is a threshold that nobody has measured yet.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from nearlossless.sequential import Interval

MOST_TOLD = 4  # checks that a reason spells out; the record has them all

EXIT_REGRESSION = 1  # pytest's own code for failed tests
EXIT_UNDECIDED = 10  # nothing regressed, but something was INCONCLUSIVE or NOT_COMPARABLE


class Outcome(StrEnum):
    """How a gate ended. Only PASS is green; WAIVED is a known regression that the case puts up with for a while."""

    PASS = "PASS"  # noqa: S105 (no password)
    WAIVED = "WAIVED"
    REGRESSION = "REGRESSION"
    INCONCLUSIVE = "INCONCLUSIVE"
    NOT_COMPARABLE = "NOT_COMPARABLE"
    NOT_APPLICABLE = "NOT_APPLICABLE"


# Of several checks the worst decides.
_SEVERITY = (
    Outcome.NOT_APPLICABLE,
    Outcome.PASS,
    Outcome.WAIVED,
    Outcome.INCONCLUSIVE,
    Outcome.NOT_COMPARABLE,
    Outcome.REGRESSION,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One figure held against one threshold."""

    name: str
    of: str = ""  # what it was measured on, where there are several of a name
    outcome: Outcome
    obtained: float | None
    threshold: float | None
    comparison: str  # ">=" or "<="
    unit: str
    note: str = ""
    interval: Interval | None = None
    path: str | None = None

    def __str__(self) -> str:
        title = f"{self.name} of {self.of}" if self.of else self.name
        if not self.comparison:
            return f"{title}: {self.note}" + (f" [{self.path}]" if self.path else "")
        obtained = "nothing" if self.obtained is None else f"{self.obtained:.5g}{_spaced(self.unit)}"
        if self.interval is not None and math.isfinite(self.interval.low):
            obtained += f" [{self.interval.low:.5g}, {self.interval.high:.5g}]"
        required = "not yet measured" if self.threshold is None else f"{self.threshold:.5g}{_spaced(self.unit)}"
        text = f"{title}: obtained {obtained}, required {self.comparison} {required}"
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
    """
    The worst of the checks; the reason tells the ones that decided, furthest off first. No check: NOT_COMPARABLE.

    A check that is NOT_APPLICABLE is neutral beside others, and told with a PASS; where nothing else is left, so is
    the gate.
    """
    if not checks:
        return stopped(gate, Outcome.NOT_COMPARABLE, "nothing was checked")
    outcome = max((check.outcome for check in checks), key=_SEVERITY.index)
    deciding = sorted((check for check in checks if check.outcome is outcome), key=_headroom)
    told = _furthest(deciding)
    if outcome is Outcome.PASS:
        left_out = [check for check in checks if check.outcome is Outcome.NOT_APPLICABLE]
        told = _closest(deciding) + [f"{same[0].name}: not applicable, {same[0].note}" for same in _by_name(left_out)]
    return Verdict(gate=gate, outcome=outcome, reason="\n".join(told), checks=tuple(checks))


def _by_name(checks: list[Check]) -> list[list[Check]]:
    kinds: dict[str, list[Check]] = {}
    for check in checks:
        kinds.setdefault(check.name, []).append(check)
    return list(kinds.values())


def _furthest(checks: list[Check]) -> list[str]:
    """The worst of each kind of check first, then the others, as many as a reader takes in."""
    kinds = _by_name(checks)
    told = [same[0] for same in kinds] + [check for same in kinds for check in same[1:]]
    more = [f"and {len(told) - MOST_TOLD} more {told[0].outcome}"] if len(told) > MOST_TOLD else []
    return [*map(str, told[:MOST_TOLD]), *more]


def _closest(checks: list[Check]) -> list[str]:
    """Of each kind of check the one that came closest to its threshold; nobody looks for the file of a good picture."""
    closest = [(replace(same[0], path=None), len(same)) for same in _by_name(checks)]
    told = [f"{check}, closest of {count}" if count > 1 else str(check) for check, count in closest[:MOST_TOLD]]
    names = [check.name for check, _ in closest[MOST_TOLD:]]
    return told + ([f"further from their thresholds: {', '.join(names)}"] if names else [])


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
    """0 when all is green or waived, EXIT_REGRESSION on any regression, EXIT_UNDECIDED when evidence is missing."""
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
    of: str = "",
    unit: str = "",
    note: str = "",
    path: str | None = None,
) -> Check:
    """PASS when `obtained` reaches `threshold`; equal is enough."""
    check = Check(
        name=name,
        of=of,
        outcome=Outcome.NOT_COMPARABLE,
        obtained=obtained,
        threshold=threshold,
        comparison=">=",
        unit=unit,
        note=note,
        path=path,
    )
    return _judged(check)


def at_most(
    name: str,
    obtained: float | None,
    threshold: float | None,
    *,
    of: str = "",
    unit: str = "",
    note: str = "",
    path: str | None = None,
) -> Check:
    """PASS when `obtained` does not exceed `threshold`; equal is enough."""
    check = at_least(name, obtained, threshold, of=of, unit=unit, note=note, path=path)
    return _judged(replace(check, comparison="<="))


def _judged(check: Check) -> Check:
    if check.obtained is None or check.threshold is None or not math.isfinite(check.obtained):
        return replace(check, outcome=Outcome.NOT_COMPARABLE)
    reached = check.obtained >= check.threshold if check.comparison == ">=" else check.obtained <= check.threshold
    return replace(check, outcome=Outcome.PASS if reached else Outcome.REGRESSION)


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


def interval_at_most(
    name: str, obtained: float | None, interval: Interval, threshold: float | None, *, unit: str = "", note: str = ""
) -> Check:
    """PASS when the whole interval keeps to `threshold`, REGRESSION when all of it lies above, else INCONCLUSIVE."""
    check = interval_at_least(name, obtained, interval, threshold, unit=unit, note=note)
    check = replace(check, comparison="<=")
    if threshold is None or check.outcome is Outcome.NOT_COMPARABLE:
        return check
    if interval.high <= threshold:
        return replace(check, outcome=Outcome.PASS)
    return replace(check, outcome=Outcome.REGRESSION if interval.low > threshold else Outcome.INCONCLUSIVE)


def found(name: str, outcome: Outcome, note: str, *, of: str = "", path: str | None = None) -> Check:
    """A check that no figure describes: a black picture, a missing baseline."""
    return Check(
        name=name, of=of, outcome=outcome, obtained=None, threshold=None, comparison="", unit="", note=note, path=path
    )
