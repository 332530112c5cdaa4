"""Does another size compile anything, or another LoRA?"""

from collections.abc import Sequence

from nearlossless.gates.bands import LIVE_SSIM
from nearlossless.record.shapes import SizeRecord, SwapRecord
from nearlossless.thresholds import Thresholds
from nearlossless.verdicts import Check, Outcome, Verdict, at_least, at_most, found, verdict


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
    of, least = f"LoRA {swap.lora}", thresholds.live.min_ssim
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
    return at_least(LIVE_SSIM, size.live_worst_tile_ssim, thresholds.live.min_ssim, of=of)
