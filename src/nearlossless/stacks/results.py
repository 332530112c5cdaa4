"""What two software stacks did with the same (case, recipe): there, in the other environment, and here."""

import statistics
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from nearlossless.effect import Effect
from nearlossless.environment import Fingerprint
from nearlossless.fields import InsideFolder, Int64
from nearlossless.metrics.scores import Scores

Side = Literal["there", "here"]
SIDES: tuple[Side, Side] = ("there", "here")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="strings")


class StackSide(_Part):
    """One stack: what it is, and its figures. The peak is of the steady calls, the worst where workers were several."""

    fingerprint: Fingerprint
    load_s: float
    first_call_s: float
    peak_kind: str
    peak_bytes: Int64
    peak_reserved_bytes: Int64 | None = None
    effect: Effect | None = None  # of the recipe


class StackPair(_Part):
    """Raw latencies of one turn of each: a single call where both workers are resident, more where they take turns."""

    there_s: list[float] = Field(min_length=1)
    here_s: list[float] = Field(min_length=1)
    set_aside: str | None = None  # why it does not count

    def medians(self) -> tuple[float, float]:
        """One latency for each side; calls of a turn share its moment and its process, so that they are one sample."""
        return statistics.median(self.there_s), statistics.median(self.here_s)


class StackPicture(_Part):
    """One picture of the case by both stacks; scores are of the one drawn here beside the one drawn there."""

    prompt: str
    seed: Int64
    height: Int64
    width: Int64
    tripwires: list[str] = Field(default_factory=list)
    scores: Scores | None = None  # None where sizes differ
    there_clip: float | None = None
    here_clip: float | None = None
    there_file: InsideFolder | None = None
    here_file: InsideFolder | None = None


class StackComparison(_Part):
    """Both stacks, their pairs in the order taken, and their pictures."""

    there: StackSide
    here: StackSide
    takes_turns: bool = False  # both do not fit the GPU together: one was ended before the other started
    pairs: list[StackPair] = Field(min_length=1)
    pictures: list[StackPicture] = Field(default_factory=list)

    @property
    def changes(self) -> list[str]:
        """One line for each part of the stack that differs, as `torch: 2.4.0 -> 2.13.0`, from there to here."""
        there, here = self.there.fingerprint.stack, self.here.fingerprint.stack
        names = [*there, *(name for name in here if name not in there)]
        return [
            f"{name}: {there.get(name, 'none')} -> {here.get(name, 'none')}"
            for name in names
            if there.get(name) != here.get(name)
        ]

    @property
    def equal_pictures(self) -> int:
        """How many pictures are the same to the bit."""
        return sum(each.scores is not None and each.scores.max_difference == 0 for each in self.pictures)
