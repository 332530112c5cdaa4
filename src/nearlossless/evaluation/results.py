"""What is kept of one prompt."""

import math
from dataclasses import dataclass
from enum import StrEnum

from nearlossless.evaluation.prompts import Prompt
from nearlossless.metrics.scores import Scores


class Status(StrEnum):
    """How a prompt ended."""

    DRAWN = "drawn"
    RECIPE_FAILED = "recipe failed"
    BASELINE_FAILED = "baseline failed"
    SET_ASIDE = "set aside"  # its worker died of it, twice


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptResult:
    """
    One prompt, drawn by both pipelines from the same initial latents.

    `problem` says what a broken picture looks like, or why there is none. Features are of unit length for CLIP and as
    they come for a network of the user's, as float16 in little-endian bytes.
    """

    number: int
    line: int
    prompt: str
    seed: int
    status: Status = Status.DRAWN
    problem: str | None = None
    scores: Scores | None = None
    baseline_clip: float | None = None
    compiled_clip: float | None = None
    baseline_features: bytes | None = None
    compiled_features: bytes | None = None
    baseline_network: bytes | None = None
    compiled_network: bytes | None = None

    @property
    def clip_drop(self) -> float | None:
        """Of the CLIP score from baseline to recipe, in points of 100."""
        if self.baseline_clip is None or self.compiled_clip is None:
            return None
        return self.baseline_clip - self.compiled_clip

    @property
    def rank(self) -> "Rank":
        """Its place among the worst: broken ones first, then by the worst tile."""
        similarity = self.scores.worst_tile_ssim if self.scores is not None and self.problem is None else math.nan
        return (-math.inf if math.isnan(similarity) else similarity, self.number)


Rank = tuple[float, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A prompt's result, and both pictures as PNG if it may be among the worst."""

    result: PromptResult
    pictures: dict[str, bytes]  # "baseline", "recipe"


def unfinished(prompt: Prompt, status: Status, problem: str) -> PromptResult:
    """The result of a prompt that was not drawn."""
    return PromptResult(
        number=prompt.number, line=prompt.line, prompt=prompt.text, seed=prompt.seed, status=status, problem=problem
    )
