"""
What the prompts of a set say together: figures that grow prompt by prompt, and the verdict.

Pure but for reading bands; prompts come in the order of drawing, always.
"""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from nearlossless.cases.thresholds import Thresholds
from nearlossless.evaluation.bands import MOST_DROP
from nearlossless.evaluation.results import PromptResult, Status
from nearlossless.evaluation.sampling import MeanEvidence, share_interval
from nearlossless.gates.bands import band_checks
from nearlossless.printable import quoted
from nearlossless.sequential import Interval, Moments, mean_interval
from nearlossless.verdicts import Check, Outcome, Verdict, at_least, at_most, found, verdict

GATE = "evaluation"
MOST_NAMED = 10  # prompts without an answer, of each kind; the table of results has them all
SAMPLED = ("clip", "clip_drop", "share_off")  # bands that a prefix of the list can decide
CLIP, CLIP_DROP, SHARE_OFF = "mean CLIP score", "mean CLIP drop", "share of prompts off"


def leaves_band(result: PromptResult, thresholds: Thresholds) -> bool | None:
    """
    Whether a prompt's picture is one that the quality gate would call a regression, beside the live baseline's.

    Returns:
        None where that cannot be told: no band, no pictures through no fault of the recipe's, or a figure that was not
        computed and no other one that is beyond its threshold.
    """
    band = thresholds.live
    if result.status in (Status.BASELINE_FAILED, Status.SET_ASIDE) or band.min_ssim is None:
        return None
    if result.status is Status.RECIPE_FAILED or result.problem is not None:
        return True
    outcomes = {check.outcome for check in band_checks("live", result.scores, band)}
    if thresholds.max_clip_drop is not None:
        outcomes.add(at_most("", result.clip_drop, thresholds.max_clip_drop).outcome)
    if Outcome.REGRESSION in outcomes:
        return True
    return None if Outcome.NOT_COMPARABLE in outcomes else False


@dataclass(slots=True, kw_only=True)
class Judge:
    """Takes results in the order of drawing and knows at any moment what is certain about the whole list."""

    thresholds: Thresholds
    alpha: float
    total: int
    count: int = 0
    off: int = 0
    without_answer: Counter[Status] = field(default_factory=Counter)  # prompts that were not drawn, of each kind
    named: list[PromptResult] = field(default_factory=list)  # the first of each of these kinds
    unknown: int = 0  # prompts of which nobody can tell whether they left their band
    baseline_clip: Moments = field(default_factory=Moments)
    compiled_clip: Moments = field(default_factory=Moments)
    drop: Moments = field(default_factory=Moments)
    cut_drops: int = 0  # beyond what one prompt counts with
    _drop_evidence: MeanEvidence | None = None
    _clip_evidence: dict[str, MeanEvidence] = field(default_factory=dict)

    def __post_init__(self) -> None:
        band = self.thresholds.evaluation
        if band.max_clip_drop is not None:
            self._drop_evidence = MeanEvidence(band.max_clip_drop, -MOST_DROP, MOST_DROP, self.total, self.alpha)
        for name in ("min_clip", "max_clip"):
            if (limit := getattr(band, name)) is not None:
                self._clip_evidence[name] = MeanEvidence(limit, 0.0, 100.0, self.total, self.alpha)

    def add(self, result: PromptResult) -> None:
        """The next prompt's result."""
        self.count += 1
        is_off = leaves_band(result, self.thresholds)
        self.off += bool(is_off)
        self.unknown += is_off is None
        if result.status is not Status.DRAWN:
            if self.without_answer[result.status] < MOST_NAMED:
                self.named.append(result)
            self.without_answer[result.status] += 1
        if result.status in (Status.BASELINE_FAILED, Status.SET_ASIDE):
            return
        before, after = result.baseline_clip, result.compiled_clip
        if result.status is Status.RECIPE_FAILED:
            before, after = MOST_DROP, 0.0  # no picture: it counts as the worst that a prompt can
        if before is None or after is None or not math.isfinite(before - after):
            return
        drop = before - after
        self.cut_drops += abs(drop) > MOST_DROP
        drop = min(max(drop, -MOST_DROP), MOST_DROP)
        if result.status is Status.DRAWN:
            self.baseline_clip.add(before)
            self.compiled_clip.add(after)
        self.drop.add(drop)
        if self._drop_evidence is not None:
            self._drop_evidence.add(drop)
        for evidence in self._clip_evidence.values():
            evidence.add(min(max(after, 0.0), 100.0))

    @property
    def drop_interval(self) -> Interval:
        """Of the mean drop over prompts like these."""
        return mean_interval(self.drop, alpha=self.alpha)

    @property
    def clip_interval(self) -> Interval:
        """Of the recipe's mean CLIP score over prompts like these."""
        return mean_interval(self.compiled_clip, alpha=self.alpha)

    @property
    def told(self) -> int:
        """Prompts of which it can be told whether they left their band."""
        return self.count - self.unknown

    @property
    def share_interval(self) -> Interval:
        """Of the share off among prompts like those that can be told."""
        return share_interval(self.off, self.told, None, alpha=self.alpha)

    @property
    def certain(self) -> Outcome | None:
        """REGRESSION or PASS where no prompt to come is likely to change it; None while it may."""
        outcomes = {check.outcome for check in [*self._sampled_checks(), *self._unanswered_checks()]}
        if Outcome.REGRESSION in outcomes:
            return Outcome.REGRESSION
        needs_all = any(
            value is not None
            for name, value in self.thresholds.evaluation
            if not name.endswith(("clip", "drop", "off"))
        )
        return Outcome.PASS if not needs_all and outcomes == {Outcome.PASS} else None

    def verdict(self, distances: Mapping[str, float | None]) -> Verdict:
        """
        The verdict on what was drawn so far.

        Args:
            distances: Between sets, by the name of their ceiling without `max_`; judged when all prompts are drawn.
        """
        checks = [*self._sampled_checks(), *self._unanswered_checks(), *self._distance_checks(distances)]
        return verdict(GATE, checks)

    def _sampled_checks(self) -> list[Check]:
        return [self._drop_check(), self._share_check(), *self._clip_checks()]

    def _unanswered_checks(self) -> list[Check]:
        """Of each kind of prompts without an answer the first few by name, and how many more there are."""
        checks = [
            found("prompt", _outcome_of(result.status), f"{result.status}: {result.problem}", of=_named(result))
            for result in self.named
        ]
        for status, count in self.without_answer.items():
            if count > MOST_NAMED:
                checks.append(found("prompts", _outcome_of(status), f"and {count - MOST_NAMED} more: {status}"))
        return checks

    def _drop_check(self) -> Check:
        limit = self.thresholds.evaluation.max_clip_drop
        obtained = self.drop.mean if self.drop.count and self._has_all_scores else None
        note = f"{self.cut_drops} counted as {MOST_DROP:g}" if self.cut_drops else ""
        check = _with_interval(at_most(CLIP_DROP, obtained, limit, unit="points", note=note), self.drop_interval)
        evidence = self._drop_evidence
        return self._so_far(
            check, evidence is not None and evidence.is_above, evidence is not None and evidence.is_below
        )

    @property
    def _has_all_scores(self) -> bool:
        unanswered = self.without_answer[Status.BASELINE_FAILED] + self.without_answer[Status.SET_ASIDE]
        return self.drop.count == self.count - unanswered

    def _clip_checks(self) -> list[Check]:
        checks = []
        obtained = self.compiled_clip.mean if self.compiled_clip.count and self._has_all_scores else None
        for name, evidence in self._clip_evidence.items():
            limit, is_floor = getattr(self.thresholds.evaluation, name), name == "min_clip"
            check = (at_least if is_floor else at_most)(CLIP, obtained, limit, unit="points")
            is_bad, is_good = evidence.is_above, evidence.is_below
            if is_floor:
                is_bad, is_good = is_good, is_bad
            checks.append(self._so_far(_with_interval(check, self.clip_interval), is_bad, is_good))
        return checks

    def _share_check(self) -> Check:
        limit, told = self.thresholds.evaluation.max_share_off, self.told
        note = f"{self.off} of {told}" + (f", {self.unknown} cannot be told" if self.unknown else "")
        check = at_most(SHARE_OFF, self.off / told if told else None, limit, note=note)
        check = _with_interval(check, self.share_interval)
        if limit is None or not told:
            return check
        # Of the whole list, where one that cannot be told counts as right: it may be so for a reason.
        whole = share_interval(self.off, self.count, self.total, alpha=self.alpha)
        if self.unknown:
            return replace(check, outcome=Outcome.REGRESSION if whole.low > limit else Outcome.NOT_COMPARABLE)
        return self._so_far(check, whole.low > limit, whole.high <= limit)

    def _so_far(self, check: Check, is_bad: bool, is_good: bool) -> Check:
        """A check on a prefix: what it says of the whole list."""
        if self.count == self.total or check.outcome is Outcome.NOT_COMPARABLE:
            return check
        outcome = Outcome.REGRESSION if is_bad else Outcome.PASS if is_good else Outcome.INCONCLUSIVE
        told = "certain" if is_bad or is_good else "not certain"
        note = f"{told} after {self.count} of {self.total} prompts"
        return replace(check, outcome=outcome, note=f"{check.note}; {note}" if check.note else note)

    def _distance_checks(self, distances: Mapping[str, float | None]) -> list[Check]:
        checks = []
        for name, limit in self.thresholds.evaluation:
            kind, _, distance = name.partition("_")
            if limit is None or distance in SAMPLED:
                continue
            title = distance_title(distance)
            if self.count < self.total:
                checks.append(found(title, Outcome.INCONCLUSIVE, f"judged when all {self.total} prompts are drawn"))
            else:
                checks.append((at_least if kind == "min" else at_most)(title, distances.get(distance), limit))
        return checks


def _with_interval(check: Check, interval: Interval) -> Check:
    """The check with an interval beside its figure, if it has one."""
    return check if check.obtained is None else replace(check, interval=interval)


def distance_title(name: str) -> str:
    """As a reader knows it: `reference_kid` is `reference KID`."""
    return " ".join(word if word in ("baseline", "reference") else word.upper() for word in name.split("_"))


def _named(result: PromptResult) -> str:
    return f"{result.number} (line {result.line}, {quoted(result.prompt)})"


def _outcome_of(status: Status) -> Outcome:
    return Outcome.REGRESSION if status is Status.RECIPE_FAILED else Outcome.NOT_COMPARABLE
