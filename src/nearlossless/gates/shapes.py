"""Does another size, batch, prompt or LoRA compile anything, and what did warm-up compile?"""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import replace

from nearlossless.cases.case import Sampling
from nearlossless.cases.thresholds import Thresholds
from nearlossless.gates.bands import LIVE_SSIM
from nearlossless.record.shapes import SizeRecord, SwapRecord, WarmupRecord
from nearlossless.speed.latencies import PairedLatencies
from nearlossless.speed.speedup import judge_pairs
from nearlossless.verdicts import Check, Outcome, Verdict, at_least, at_most, found, verdict

WARMUP = "warm-up"
SPEED = "speedup at its size"
COMPILES, STALLS = "compiles after warm-up", "stalls after warm-up"
# A first call of a size that took at least so many times as long as later ones, and so many seconds more, may have
# compiled. On two H200 the worst of 98 first calls under torch.compile took 1.8 times as long, and 0.2 s more.
STALL_RATIO, STALL_S = 3.0, 1.0
UNSEEN = "Dynamo saw this backend compile nothing, at its first call neither"
MOST_STALLS = 1  # machines stall, too, but not at one new size after the other
MOST_TOLD = 2  # compilations of one call that the reason spells out; the record has them all
ACCEPTING = "nearlossless approve --thresholds accepts this run's"


def judge_shapes(
    sizes: Sequence[SizeRecord],
    thresholds: Thresholds,
    *,
    sampling: Sampling | None = None,
    swaps: Sequence[SwapRecord] = (),
    warmup: WarmupRecord | None = None,
    not_compared: str | None = None,
    counts_compiles: bool = True,
) -> Verdict:
    """
    Does cycling the sizes and swapping LoRAs compile nothing, and is every picture of it the baseline's?

    Args:
        sizes: Each call after warm-up.
        thresholds: In force here.
        sampling: Error rate of the speedup at each size that was timed in pairs; None: the default.
        swaps: Of LoRAs.
        warmup: What warm-up compiled, and what is accepted.
        not_compared: Why pictures are judged by their tripwires alone: no baseline fits, or weights are synthetic.
        counts_compiles: Whether what the backend compiles moves a counter, as its first compilations showed; if not,
            the times of first calls are judged in its place.
    """
    checks = [_size_check(size, thresholds) for size in sizes if size.problems or not_compared is None]
    if sizes and not_compared is not None:
        checks.append(found(LIVE_SSIM, Outcome.NOT_APPLICABLE, not_compared))
    if sizes:
        checks += _compile_checks(sizes, thresholds, counts_compiles=counts_compiles)
    checks += _speed_checks(sizes, thresholds, sampling or Sampling())
    for swap in swaps:
        checks.append(_swap_compiles(swap, thresholds, counts_compiles=counts_compiles))
        checks += _swap_checks(swap, thresholds, is_compared=not_compared is None)
    return verdict("shapes", [*checks, *_warmup_checks(warmup)])


def _compile_checks(sizes: Sequence[SizeRecord], thresholds: Thresholds, *, counts_compiles: bool) -> Iterator[Check]:
    compiled = [told for size in sizes if (told := _compiled(size))]
    count = sum(size.compiles + size.recordings + len(size.kernel_files) for size in sizes)
    if count or counts_compiles:
        note = "; ".join(compiled) or _cycled(sizes)
        yield at_most(COMPILES, count, thresholds.max_compiles_after_warmup, note=note)
        return
    yield found(COMPILES, Outcome.NOT_APPLICABLE, UNSEEN)
    stalled = [f"{size.title}: {told}" for size in sizes if (told := _stall(size))]
    note = "; ".join(stalled[:MOST_TOLD]) or _cycled(sizes)
    yield at_most(STALLS, len(stalled), MOST_STALLS, note=note)


def _stall(size: SizeRecord) -> str:
    """What a first call took beside later ones, or beside the baseline's, where it may have compiled; else empty."""
    is_first_alone = size.compiled_s == [size.latency_s]
    others_s = size.baseline_s if is_first_alone else size.compiled_s
    if not others_s:
        return ""
    usual_s = statistics.median(others_s)
    if size.latency_s < STALL_RATIO * usual_s or size.latency_s - usual_s < STALL_S:
        return ""
    return f"{size.latency_s:.3g} s, {'the baseline' if is_first_alone else 'later'} {usual_s:.3g} s"


def _cycled(sizes: Sequence[SizeRecord]) -> str:
    others = sum(bool(size.variation) for size in sizes)
    return f"{len(sizes) - others} sizes" + (f", {others} other requests" if others else "")


def _compiled(size: SizeRecord) -> str:
    """What a call compiled, and why; empty where it compiled nothing."""
    found = {"CUDA graph recordings": size.recordings, "new kernel files": len(size.kernel_files)}
    counts = [str(size.compiles)] if size.compiles else []
    counts += [f"{count} {what}" for what, count in found.items() if count]
    reasons = [str(each) for each in size.recompiles[:MOST_TOLD]] + size.kernel_files[:1]
    if not counts:
        return ""
    return f"{size.title}: {', '.join(counts)}" + (f" by {', by '.join(reasons)}" if reasons else "")


def _speed_checks(sizes: Sequence[SizeRecord], thresholds: Thresholds, sampling: Sampling) -> Iterator[Check]:
    """Of each size that was timed in pairs: red only where it is shown to lie below the floor."""
    floor = thresholds.min_size_speedup
    for size in sizes:
        if len(size.compiled_s) < 2 or floor is None:
            continue
        pairs = PairedLatencies(size.baseline_s, size.compiled_s, size.set_aside)
        check = replace(judge_pairs(pairs, sampling=sampling, min_speedup=floor), name=SPEED, of=size.title)
        if check.outcome is Outcome.INCONCLUSIVE and check.interval is not None:
            check = replace(check, outcome=Outcome.PASS, note=f"not shown to be below; {check.note}")
        yield check


def _warmup_checks(warmup: WarmupRecord | None) -> Iterator[Check]:
    """Exact: more than accepted is a regression, and fewer leaves what is accepted describing nothing."""
    if warmup is None:
        return
    names = {"graphs": "graphs", "graph_breaks": "graph breaks", "frames": "frames"}
    counts, accepted = warmup.counts.model_dump(), warmup.accepted
    if accepted is None:
        told = ", ".join(f"{counts[key]} {name}" for key, name in names.items())
        why = warmup.problem or f"nothing is accepted for {warmup.versions}"
        yield found(WARMUP, Outcome.NOT_APPLICABLE, f"compiled {told}; {why}: {ACCEPTING}")
        return
    expected = accepted.model_dump()
    for key, name in names.items():
        check = at_most(WARMUP, counts[key], expected[key], of=name, note=warmup.versions)
        if counts[key] < expected[key]:
            note = f"fewer than accepted for {warmup.versions}, an improvement to be kept: {ACCEPTING}"
            check = replace(check, outcome=Outcome.NOT_COMPARABLE, note=note)
        yield check


def _swap_compiles(swap: SwapRecord, thresholds: Thresholds, *, counts_compiles: bool) -> Check:
    of = f"LoRA {swap.lora}"
    if not swap.compiles and not counts_compiles:
        return found("compiles after a swap", Outcome.NOT_APPLICABLE, UNSEEN, of=of)
    return at_most("compiles after a swap", swap.compiles, thresholds.max_compiles_after_warmup, of=of)


def _swap_checks(swap: SwapRecord, thresholds: Thresholds, *, is_compared: bool) -> list[Check]:
    of, least = f"LoRA {swap.lora}", thresholds.live.min_ssim
    if swap.problems:
        return [found("picture", Outcome.REGRESSION, ", ".join(swap.problems), of=of)]
    if not is_compared:
        return []
    checks = []
    change = swap.baseline_change_ssim
    if least is not None and (change is None or not change < least):
        note = f"it moves the baseline's picture to SSIM {change}, not below {least:g}: no swap could be told from none"
        checks.append(found("effect on the baseline", Outcome.NOT_COMPARABLE, note, of=of))
    return [*checks, at_least(LIVE_SSIM, swap.live_worst_tile_ssim, least, of=of)]


def _size_check(size: SizeRecord, thresholds: Thresholds) -> Check:
    of = size.title
    if size.problems:
        return found("picture", Outcome.REGRESSION, ", ".join(size.problems), of=of)
    return at_least(LIVE_SSIM, size.live_worst_tile_ssim, thresholds.live.min_ssim, of=of)
