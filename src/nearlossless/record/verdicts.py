"""Verdicts, as a record keeps them."""

from pydantic import Field

from nearlossless.record.part import Part
from nearlossless.verdicts import Outcome


class CheckRecord(Part):
    """One figure held against one threshold."""

    name: str
    of: str
    outcome: Outcome
    obtained: float | None
    threshold: float | None
    comparison: str
    unit: str
    note: str
    interval: tuple[float, float] | None
    path: str | None


class VerdictRecord(Part):
    """The answer of one gate and the test that gave it."""

    gate: str
    outcome: Outcome
    reason: str
    test: str
    checks: list[CheckRecord] = Field(default_factory=list)
    # That the test took, with all that it was the first to build; None: not told.
    seconds: float | None = Field(None, ge=0, allow_inf_nan=False)
