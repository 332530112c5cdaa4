"""Known regressions that a case puts up with until a date: shown as WAIVED, never as passed."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Annotated

from pydantic import Field

from nearlossless.fields import Device, Gate, Name, Reason, Strict
from nearlossless.verdicts import Check, Outcome, Verdict, verdict


class Waiver(Strict):
    """One known regression, with the reason why it is put up with, and the date on which that ends."""

    recipe: Name
    gate: Gate
    check: str | None = Field(None, min_length=1, description="Exact name of the check; None: any of the gate.")
    device: Device | None = Field(None, description="Where; None: on each device of the case.")
    reason: Reason
    until: Annotated[date, Field(strict=True, description="The last day, in UTC.")]

    def covers(self, gate: str, check: Check | None) -> bool:
        """Whether it is about this check of a gate; None stands for a gate that was stopped before any check."""
        is_meant = self.check is None or (check is not None and check.name == self.check)
        return self.gate == gate and is_meant

    @property
    def not_needed(self) -> str:
        """What to tell once its gate passes."""
        check = f" ({self.check})" if self.check is not None else ""
        return (
            f"waiver of {self.recipe} / {self.gate}{check} until {self.until.isoformat()} not needed any more: the gate"
            " passed, remove it"
        )

    def note(self, today: date) -> str:
        """What a check that it covers is told with."""
        if today > self.until:
            return f"the waiver ended on {self.until.isoformat()}"
        return f"waived until {self.until.isoformat()}: {self.reason}"


def waive(judged: Verdict, waivers: Sequence[Waiver], today: date) -> Verdict:
    """
    A verdict with its waived regressions as WAIVED; what is undecided or not comparable cannot be waived.

    Args:
        judged: A gate's verdict on a recipe.
        waivers: Those of the recipe, on this device.
        today: In UTC; a waiver holds through its last day.
    """
    if judged.outcome is not Outcome.REGRESSION:
        return judged
    if not judged.checks:
        waiver = _waiver_of(judged.gate, None, waivers)
        if waiver is None:
            return judged
        return replace(judged, outcome=_outcome(waiver, today), reason=f"{judged.reason} ({waiver.note(today)})")
    return verdict(judged.gate, [_waived(judged.gate, check, waivers, today) for check in judged.checks])


def _waived(gate: str, check: Check, waivers: Sequence[Waiver], today: date) -> Check:
    waiver = _waiver_of(gate, check, waivers) if check.outcome is Outcome.REGRESSION else None
    if waiver is None:
        return check
    note = "; ".join(part for part in (check.note, waiver.note(today)) if part)
    return replace(check, outcome=_outcome(waiver, today), note=note)


def _waiver_of(gate: str, check: Check | None, waivers: Sequence[Waiver]) -> Waiver | None:
    """The one that holds longest among those that cover a check."""
    return max((w for w in waivers if w.covers(gate, check)), key=lambda w: w.until, default=None)


def _outcome(waiver: Waiver, today: date) -> Outcome:
    return Outcome.REGRESSION if today > waiver.until else Outcome.WAIVED
