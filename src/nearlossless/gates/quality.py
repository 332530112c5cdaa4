"""Is the picture still the same?"""

from collections.abc import Sequence
from dataclasses import replace

from nearlossless.baselines.noise import with_margin
from nearlossless.cases.thresholds import Band, Thresholds
from nearlossless.gates.bands import LIVE_SSIM, band_checks, count_checks
from nearlossless.gates.parity import parity_checks
from nearlossless.gates.replay import replay_checks
from nearlossless.metrics.figures import SSIM
from nearlossless.metrics.scores import Scores
from nearlossless.record.quality import ParityRecord, PictureRecord, ReplayRecord
from nearlossless.verdicts import Check, Outcome, Verdict, at_most, found, verdict

# In units of the baseline's own distance to the reference: compilations reach 1.6, float8 and int8 3.8 and more.
MOST_ROUNDING = 2.0


def judge_quality(
    pictures: Sequence[PictureRecord],
    thresholds: Thresholds,
    parity: ParityRecord,
    replay: ReplayRecord,
    *,
    noise: Band | None = None,
    no_pictures: str | None = None,
    baseline_does_not_fit: str | None = None,
) -> Verdict:
    """
    Is every picture still the same, beside the live baseline and beside what is stored, and every step as exact?

    Args:
        pictures: What was drawn and compared.
        thresholds: In force here.
        parity: Of the denoiser's steps.
        replay: Of everything around the denoiser.
        noise: How far the baseline itself moves under benign changes on this hardware. Where parity and replay hold, a
            picture beyond its band and within this floor drifts by chaos, and is no regression.
        no_pictures: Why none was drawn; parity and replay then judge alone.
        baseline_does_not_fit: Why there is no baseline; stored pictures and their CLIP scores then judge alone.
    """
    has_baseline = baseline_does_not_fit is None
    checks = parity_checks(parity, thresholds)
    checks += replay_checks(replay, thresholds, no_pictures=no_pictures) if has_baseline else []
    # Neither stands in for the other: with one declared away, or no baseline, nothing tells chaos from a defect.
    is_exact = has_baseline and all(check.outcome is Outcome.PASS for check in checks) and _only_rounds(parity)
    if no_pictures is not None:
        checks.append(found("pictures", Outcome.NOT_APPLICABLE, no_pictures))
    elif not pictures:
        checks.append(found("pictures", Outcome.NOT_COMPARABLE, "none was drawn"))
    elif baseline_does_not_fit is not None:
        names = (LIVE_SSIM, "CLIP drop from live")
        checks += [found(name, Outcome.NOT_APPLICABLE, baseline_does_not_fit) for name in names]
    allowed = with_margin(noise) if noise is not None and is_exact else None
    for picture in pictures:
        checks += _picture_checks(picture, thresholds, allowed, has_baseline=has_baseline)
    checks += _count_checks(pictures, replay, thresholds, has_baseline=has_baseline)
    return verdict("quality", checks)


def _only_rounds(parity: ParityRecord) -> bool:
    """A recipe that is lossy by design may pass its own ceiling; what moves its pictures is more than chaos."""
    return all(step.ratio is not None and step.ratio <= MOST_ROUNDING for step in parity.steps)


def _count_checks(
    pictures: Sequence[PictureRecord], replay: ReplayRecord, thresholds: Thresholds, *, has_baseline: bool
) -> list[Check]:
    """A band was set for the worst of so many pictures; the worst of more is worse by chance alone."""
    foreign = sum(bool(picture.stored_foreign) for picture in pictures)
    counted = {
        "live": (thresholds.live, len(pictures) if has_baseline else 0),
        "stored": (thresholds.stored, len(pictures) - foreign),
        "foreign": (thresholds.foreign, foreign),
        "replay": (thresholds.replay, len(replay.pictures)),
    }
    return [check for name, (band, count) in counted.items() for check in count_checks(name, band, count)]


def _picture_checks(
    picture: PictureRecord, thresholds: Thresholds, noise: Band | None, *, has_baseline: bool
) -> list[Check]:
    of, path = picture.named, picture.obtained_file
    if picture.tripwires:
        return [found("picture", Outcome.REGRESSION, ", ".join(picture.tripwires), of=of, path=path)]
    live = _banded("live", picture.live, thresholds.live, noise, of=of, path=path) if has_baseline else []
    return [
        *live,
        *_clip_checks(of, picture, thresholds, has_baseline=has_baseline),
        *_stored_checks(of, picture, thresholds, noise),
    ]


def _banded(
    anchor: str, scores: Scores | None, band: Band, noise: Band | None, *, of: str, path: str | None, note: str = ""
) -> list[Check]:
    """Checks of a band; what is beyond it and within the noise floor passes, and says so."""
    checks = band_checks(anchor, scores, band, of=of, path=path, note=note)
    if noise is None:
        return checks
    within = {check.name: check for check in band_checks(anchor, scores, noise) if check.outcome is Outcome.PASS}
    return [
        _drifting(check, within[check.name]) if check.outcome is Outcome.REGRESSION and check.name in within else check
        for check in checks
    ]


def _drifting(check: Check, within: Check) -> Check:
    note = f"{check.note}; " if check.note else ""
    note += f"beyond the band by chaos: steps and replay are exact, the noise floor allows {within.threshold:.5g}"
    return replace(check, outcome=Outcome.PASS, note=note)


def _clip_checks(of: str, picture: PictureRecord, thresholds: Thresholds, *, has_baseline: bool) -> list[Check]:
    anchors = {"live": picture.baseline_clip} if has_baseline else {}
    is_comparable = not picture.stored_foreign or thresholds.foreign.min_ssim is not None
    if picture.stored_problem is None and is_comparable:
        anchors["stored"] = picture.stored_clip
    return [
        at_most(
            f"CLIP drop from {anchor}",
            None if before is None or picture.obtained_clip is None else before - picture.obtained_clip,
            thresholds.max_clip_drop,
            of=of,
            unit="points",
            path=picture.obtained_file,
        )
        for anchor, before in anchors.items()
    ]


def _stored_checks(of: str, picture: PictureRecord, thresholds: Thresholds, noise: Band | None) -> list[Check]:
    name, path = f"stored {SSIM}", picture.expected_file or picture.obtained_file
    choice = picture.stored_choice or ""
    if picture.stored_problem is not None:
        return [found(name, Outcome.NOT_COMPARABLE, picture.stored_problem, of=of, path=path)]
    if not picture.stored_foreign:
        return _banded("stored", picture.stored, thresholds.stored, noise, of=of, path=path, note=choice)
    note = "foreign picture identity: " + ", ".join(picture.stored_foreign)
    if thresholds.foreign.min_ssim is None:
        return [found(name, Outcome.NOT_COMPARABLE, f"{note}; the case names no band for it", of=of, path=path)]
    note = f"{note}; {choice}" if choice else note
    return band_checks("stored", picture.stored, thresholds.foreign, of=of, note=note, path=path)
