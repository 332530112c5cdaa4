"""The five questions: what was measured, held against a case's thresholds, gives a verdict. Pure, like `verdicts`."""

from collections.abc import Sequence

from nearlossless.cases import Sampling
from nearlossless.memory import SINCE_START
from nearlossless.record import PictureRecord, SizeRecord, SwapRecord
from nearlossless.thresholds import Thresholds
from nearlossless.timing import PairedLatencies, judge_pairs
from nearlossless.verdicts import Check, Outcome, Verdict, at_least, at_most, found, verdict
from nearlossless.worker import ProcessRun

GIB = 1024**3


def judge_speedup(pairs: PairedLatencies, sampling: Sampling, thresholds: Thresholds) -> Verdict:
    """Is the compiled pipeline at least `min_speedup` times as fast?"""
    return verdict("speedup", [judge_pairs(pairs, sampling=sampling, min_speedup=thresholds.min_speedup)])


def judge_memory(baseline: ProcessRun, compiled: ProcessRun, thresholds: Thresholds) -> Verdict:
    """Does the steady peak stay within its budgets, relative to the baseline and absolute?"""
    if SINCE_START in (compiled.peaks.kind, baseline.peaks.kind):
        note = "this system cannot reset a process's peak, so the steady state cannot be told from compilation"
        return verdict("memory", [found("steady peak", Outcome.NOT_COMPARABLE, note)])
    used, base = compiled.peaks.steady_bytes, baseline.peaks.steady_bytes
    kind = f"{compiled.peaks.kind} bytes, baseline {base / GIB:.3f} GiB, compiled {used / GIB:.3f} GiB"
    ratio = used / base if base > 0 and used > 0 else None
    checks = [at_most("steady peak / baseline's", ratio, thresholds.max_memory_ratio, note=kind)]
    if thresholds.max_peak_gib is not None:
        peak_gib = used / GIB if used > 0 else None
        checks.append(at_most("steady peak", peak_gib, thresholds.max_peak_gib, unit="GiB"))
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
    graphs: int | None = None,
    swaps: Sequence[SwapRecord] = (),
) -> Verdict:
    """
    Does cycling the sizes and swapping LoRAs compile nothing, and is every picture of it the baseline's?

    `graphs` counts what Dynamo compiled beforehand, for recipes that must have compiled something.
    """
    checks = [_size_check(size, thresholds) for size in sizes if size.problems or thresholds.min_live_ssim is not None]
    if graphs is not None:
        checks.append(at_least("graphs compiled beforehand", graphs, 1))
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
        checks += _swap_checks(swap, thresholds)
    return verdict("shapes", checks)


def _swap_checks(swap: SwapRecord, thresholds: Thresholds) -> list[Check]:
    of, least = f"LoRA {swap.lora}", thresholds.min_live_ssim
    checks = [at_most("compiles after a swap", swap.compiles, thresholds.max_compiles_after_warmup, of=of)]
    if swap.problems:
        return [*checks, found("picture", Outcome.REGRESSION, ", ".join(swap.problems), of=of)]
    if least is None:
        return checks
    change = swap.baseline_change_ssim
    if change is None or not change < least:
        note = f"it moves the baseline's picture to SSIM {change}, not below {least:g}: no swap could be told from none"
        checks.append(found("effect on the baseline", Outcome.NOT_COMPARABLE, note, of=of))
    return [*checks, at_least("live worst-tile SSIM", swap.live_worst_tile_ssim, least, of=of)]


def _size_check(size: SizeRecord, thresholds: Thresholds) -> Check:
    of = f"{size.width}x{size.height}"
    if size.problems:
        return found("picture", Outcome.REGRESSION, ", ".join(size.problems), of=of)
    return at_least("live worst-tile SSIM", size.live_worst_tile_ssim, thresholds.min_live_ssim, of=of)


def judge_quality(pictures: Sequence[PictureRecord], thresholds: Thresholds) -> Verdict:
    """Is every picture still the same, beside the live baseline and beside what is stored?"""
    checks: list[Check] = []
    for picture in pictures:
        checks += _picture_checks(picture, thresholds)
    return verdict("quality", checks)


def _picture_checks(picture: PictureRecord, thresholds: Thresholds) -> list[Check]:
    of, path = f"'{picture.prompt}' seed {picture.seed}", picture.obtained_file
    if picture.tripwires:
        return [found("picture", Outcome.REGRESSION, ", ".join(picture.tripwires), of=of, path=path)]
    live = at_least("live worst-tile SSIM", picture.live_worst_tile_ssim, thresholds.min_live_ssim, of=of, path=path)
    return [live, *_clip_checks(of, picture, thresholds), _stored_check(of, picture, thresholds)]


def _clip_checks(of: str, picture: PictureRecord, thresholds: Thresholds) -> list[Check]:
    anchors = {"live": picture.baseline_clip}
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
