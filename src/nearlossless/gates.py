"""The five questions: what was measured, held against a case's thresholds, gives a verdict. Pure, like `verdicts`."""

import math
from collections.abc import Sequence
from dataclasses import replace

from nearlossless.cases import Sampling
from nearlossless.memory import SINCE_START
from nearlossless.record import (
    AcceptedSpeeds,
    ParityRecord,
    PictureRecord,
    SizeRecord,
    StepParity,
    SwapRecord,
)
from nearlossless.slowdown import judge_slowdown
from nearlossless.thresholds import Thresholds
from nearlossless.timing import PairedLatencies, judge_latencies, judge_pairs
from nearlossless.verdicts import Check, Outcome, Verdict, at_least, at_most, found, verdict
from nearlossless.worker import ProcessRun

GIB = 1024**3
LIVE_SSIM = "live worst-tile SSIM"
PARITY = "step parity"
# The largest of thousands of rounding errors scatters more than their RMS: harmless compilations of the miniature move
# the RMS by 6 % and the largest by 79 %, so that it may be twice as far off.
LARGEST_ALLOWANCE = 2.0
# Of the RMS error; a bias adds up from step to step. SGLang admits kernels by the same quarter.
MAX_BIAS_SHARE = 0.25


def judge_speedup(
    pairs: PairedLatencies,
    sampling: Sampling,
    thresholds: Thresholds,
    *,
    accepted: AcceptedSpeeds | None = None,
    baseline_does_not_fit: str | None = None,
) -> Verdict:
    """
    Is the compiled pipeline at least `min_speedup` times as fast, and its median latency at most `max_latency_s`?

    And, where the case limits a slowdown, is it no slower than what was last accepted on this machine?

    Args:
        pairs: Latencies of both; where the baseline does not fit, of the compiled pipeline alone.
        sampling: Error rate of each question.
        thresholds: In force here.
        accepted: Latencies of the record last accepted on this machine, or why there are none.
        baseline_does_not_fit: Why there is no baseline; then the latency judges alone, and must have a ceiling.
    """
    if baseline_does_not_fit is not None:
        checks = [found("speedup", Outcome.NOT_APPLICABLE, baseline_does_not_fit)]
    else:
        checks = [judge_pairs(pairs, sampling=sampling, min_speedup=thresholds.min_speedup)]
    if baseline_does_not_fit is not None or thresholds.max_latency_s is not None:
        checks.append(judge_latencies(pairs, sampling=sampling, max_latency_s=thresholds.max_latency_s))
    has_baseline = baseline_does_not_fit is None
    checks += judge_slowdown(pairs, accepted, thresholds, sampling, has_baseline=has_baseline)
    return verdict("speedup", checks)


def judge_memory(
    baseline: ProcessRun | None,
    compiled: ProcessRun,
    thresholds: Thresholds,
    *,
    baseline_does_not_fit: str | None = None,
) -> Verdict:
    """Does the steady peak stay within its budgets, relative to the baseline and absolute? Without one, absolute."""
    if SINCE_START in [run.peaks.kind for run in (baseline, compiled) if run is not None]:
        note = "this system cannot reset a process's peak, so the steady state cannot be told from compilation"
        return verdict("memory", [found("steady peak", Outcome.NOT_COMPARABLE, note)])
    used, base = compiled.peaks.steady_bytes, baseline.peaks.steady_bytes if baseline is not None else 0
    if baseline_does_not_fit is not None:
        checks = [found("steady peak / baseline's", Outcome.NOT_APPLICABLE, baseline_does_not_fit)]
    else:
        kind = f"{compiled.peaks.kind} bytes, baseline {base / GIB:.3f} GiB, compiled {used / GIB:.3f} GiB"
        ratio = used / base if base > 0 and used > 0 else None
        checks = [at_most("steady peak / baseline's", ratio, thresholds.max_memory_ratio, note=kind)]
    if baseline_does_not_fit is not None or thresholds.max_peak_gib is not None:
        peak_gib = used / GIB if used > 0 else None
        note = f"{compiled.peaks.kind} bytes"
        checks.append(at_most("steady peak", peak_gib, thresholds.max_peak_gib, unit="GiB", note=note))
    return verdict("memory", checks)


def judge_startup(cold: ProcessRun, warm: ProcessRun, thresholds: Thresholds) -> Verdict:
    """Is a cold start bearable, and does a primed cache help?"""
    cold_start_s = cold.load_s + cold.first_call_s if cold.load_s > 0 and cold.first_call_s > 0 else None
    ratio = warm.first_call_s / cold.first_call_s if warm.first_call_s > 0 and cold.first_call_s > 0 else None
    return verdict(
        "startup",
        [
            at_most("cold start", cold_start_s, thresholds.max_cold_start_s, unit="s", note="load and first call"),
            at_most(
                "warm / cold first call",
                ratio,
                thresholds.max_warm_start_ratio,
                note=f"warm {warm.first_call_s:.2f} s, cold {cold.first_call_s:.2f} s",
            ),
        ],
    )


def judge_shapes(
    sizes: Sequence[SizeRecord],
    thresholds: Thresholds,
    *,
    swaps: Sequence[SwapRecord] = (),
    not_compared: str | None = None,
) -> Verdict:
    """
    Does cycling the sizes and swapping LoRAs compile nothing, and is every picture of it the baseline's?

    `not_compared` says why pictures are judged by their tripwires alone: no baseline fits, or weights are synthetic.
    """
    checks = [_size_check(size, thresholds) for size in sizes if size.problems or not_compared is None]
    if sizes and not_compared is not None:
        checks.append(found(LIVE_SSIM, Outcome.NOT_APPLICABLE, not_compared))
    if sizes:
        compiled = [f"{size.width}x{size.height}: {size.compiles}" for size in sizes if size.compiles]
        checks.append(
            at_most(
                "compiles after warm-up",
                sum(size.compiles for size in sizes),
                thresholds.max_compiles_after_warmup,
                note="; ".join(compiled) or f"{len(sizes)} sizes",
            )
        )
    for swap in swaps:
        checks += _swap_checks(swap, thresholds, is_compared=not_compared is None)
    return verdict("shapes", checks)


def _swap_checks(swap: SwapRecord, thresholds: Thresholds, *, is_compared: bool) -> list[Check]:
    of, least = f"LoRA {swap.lora}", thresholds.min_live_ssim
    checks = [at_most("compiles after a swap", swap.compiles, thresholds.max_compiles_after_warmup, of=of)]
    if swap.problems:
        return [*checks, found("picture", Outcome.REGRESSION, ", ".join(swap.problems), of=of)]
    if not is_compared:
        return checks
    change = swap.baseline_change_ssim
    if least is not None and (change is None or not change < least):
        note = f"it moves the baseline's picture to SSIM {change}, not below {least:g}: no swap could be told from none"
        checks.append(found("effect on the baseline", Outcome.NOT_COMPARABLE, note, of=of))
    return [*checks, at_least(LIVE_SSIM, swap.live_worst_tile_ssim, least, of=of)]


def _size_check(size: SizeRecord, thresholds: Thresholds) -> Check:
    of = f"{size.width}x{size.height}"
    if size.problems:
        return found("picture", Outcome.REGRESSION, ", ".join(size.problems), of=of)
    return at_least(LIVE_SSIM, size.live_worst_tile_ssim, thresholds.min_live_ssim, of=of)


def judge_quality(
    pictures: Sequence[PictureRecord],
    thresholds: Thresholds,
    parity: ParityRecord,
    *,
    no_pictures: str | None = None,
    baseline_does_not_fit: str | None = None,
) -> Verdict:
    """
    Is every picture still the same, beside the live baseline and beside what is stored, and every step as exact?

    `no_pictures` says why none was drawn; step parity then judges alone. Where the baseline does not fit, the stored
    picture and its CLIP score judge alone.
    """
    checks = parity_checks(parity, thresholds)
    if no_pictures is not None:
        checks.append(found("pictures", Outcome.NOT_APPLICABLE, no_pictures))
    elif not pictures:
        checks.append(found("pictures", Outcome.NOT_COMPARABLE, "none was drawn"))
    elif baseline_does_not_fit is not None:
        names = (LIVE_SSIM, "CLIP drop from live")
        checks += [found(name, Outcome.NOT_APPLICABLE, baseline_does_not_fit) for name in names]
    for picture in pictures:
        checks += _picture_checks(picture, thresholds, has_baseline=baseline_does_not_fit is None)
    return verdict("quality", checks)


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


def _picture_checks(picture: PictureRecord, thresholds: Thresholds, *, has_baseline: bool) -> list[Check]:
    of, path = f"'{picture.prompt}' seed {picture.seed}", picture.obtained_file
    if picture.tripwires:
        return [found("picture", Outcome.REGRESSION, ", ".join(picture.tripwires), of=of, path=path)]
    live = at_least(LIVE_SSIM, picture.live_worst_tile_ssim, thresholds.min_live_ssim, of=of, path=path)
    return [
        *([live] if has_baseline else []),
        *_clip_checks(of, picture, thresholds, has_baseline=has_baseline),
        _stored_check(of, picture, thresholds),
    ]


def _clip_checks(of: str, picture: PictureRecord, thresholds: Thresholds, *, has_baseline: bool) -> list[Check]:
    anchors = {"live": picture.baseline_clip} if has_baseline else {}
    is_comparable = not picture.stored_foreign or thresholds.foreign_min_stored_ssim is not None
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


def _stored_check(of: str, picture: PictureRecord, thresholds: Thresholds) -> Check:
    name, path = "stored worst-tile SSIM", picture.expected_file or picture.obtained_file
    if picture.stored_problem is not None:
        return found(name, Outcome.NOT_COMPARABLE, picture.stored_problem, of=of, path=path)
    obtained = picture.stored_worst_tile_ssim
    if not picture.stored_foreign:
        return at_least(name, obtained, thresholds.min_stored_ssim, of=of, path=path)
    note = "foreign picture identity: " + ", ".join(picture.stored_foreign)
    if thresholds.foreign_min_stored_ssim is None:
        return found(name, Outcome.NOT_COMPARABLE, f"{note}; the case names no band for it", of=of, path=path)
    return at_least(name, obtained, thresholds.foreign_min_stored_ssim, of=of, note=note, path=path)
