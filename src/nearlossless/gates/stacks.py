"""Is this software stack slower than another, does it need more memory, does it draw differently?"""

from collections.abc import Sequence
from dataclasses import replace

from nearlossless.cases.case import Sampling
from nearlossless.cases.thresholds import Thresholds
from nearlossless.environment import TimingIdentity
from nearlossless.gates.bands import band_checks, count_checks
from nearlossless.gates.memory import GIB
from nearlossless.memory.peaks import SINCE_START
from nearlossless.metrics.figures import SSIM
from nearlossless.printable import quoted
from nearlossless.speed.latencies import PairedLatencies
from nearlossless.speed.speedup import judge_pairs
from nearlossless.stacks.results import StackComparison, StackPair, StackPicture
from nearlossless.verdicts import Check, Outcome, Verdict, at_most, found, verdict

SPEED = "speed here / there"
ANCHOR = "other stack"


def speed_check(pairs: Sequence[StackPair], sampling: Sampling, max_slowdown: float | None) -> Check:
    """
    Whether at most a share of the other stack's speed is lost here, with an interval that holds at any stopping time.

    Judged as a speedup is, with the other stack as the baseline and 1 - `max_slowdown` as the floor.
    """
    sides = [pair.medians() for pair in pairs]
    latencies = PairedLatencies(
        baseline_s=[there for there, _ in sides],
        compiled_s=[here for _, here in sides],
        set_aside=[pair.set_aside for pair in pairs],
    )
    floor = 1 - max_slowdown if max_slowdown is not None else None
    return replace(judge_pairs(latencies, sampling=sampling, min_speedup=floor), name=SPEED)


def judge_stack_speed(stacks: StackComparison, sampling: Sampling, thresholds: Thresholds) -> Verdict:
    """Is at most `max_stack_slowdown` of the other stack's speed lost, on the same device and with as many threads?"""
    check = speed_check(stacks.pairs, sampling, thresholds.max_stack_slowdown)
    notes = [check.note, *([_turns(stacks)] if stacks.takes_turns else []), *_libraries(stacks)]
    checks = [replace(check, note="; ".join(note for note in notes if note))]
    there, here = (side.fingerprint.timing for side in (stacks.there, stacks.here))
    if differences := _timing_differences(there, here):
        note = f"{', '.join(differences)}: give both as many threads (OMP_NUM_THREADS) and the same device"
        checks.append(found("timing identity", Outcome.NOT_COMPARABLE, note))
    return verdict("stack-speed", checks)


def _turns(stacks: StackComparison) -> str:
    return f"both do not fit together: they took turns, {len(stacks.pairs[0].there_s)} calls each a turn"


def _libraries(stacks: StackComparison) -> list[str]:
    """What changed, but for what no library is."""
    changes = [change for change in stacks.changes if not change.startswith(("python:", "system:", "nearlossless:"))]
    return [", ".join(changes) or "the same versions there and here"]


def _timing_differences(there: TimingIdentity, here: TimingIdentity) -> list[str]:
    """What differs between two timing identities; what one stack cannot read is no difference."""
    before, after = there.model_dump(exclude={"picture"}), here.model_dump(exclude={"picture"})
    return [
        f"{name}: {before[name]} there, {after[name]} here"
        for name in before
        if None not in {before[name], after[name]} and before[name] != after[name]
    ]


def judge_stack_memory(stacks: StackComparison, thresholds: Thresholds) -> Verdict:
    """Is the steady peak here at most `max_stack_memory_ratio` times that of the other stack?"""
    there, here = stacks.there, stacks.here
    if SINCE_START in {there.peak_kind, here.peak_kind}:
        note = "this system cannot reset a process's peak, so the steady state cannot be told from compilation"
        return verdict("stack-memory", [found("steady peak", Outcome.NOT_COMPARABLE, note)])
    ratio = here.peak_bytes / there.peak_bytes if there.peak_bytes > 0 and here.peak_bytes > 0 else None
    note = f"{here.peak_kind} bytes, there {there.peak_bytes / GIB:.3f} GiB, here {here.peak_bytes / GIB:.3f} GiB"
    threshold = thresholds.max_stack_memory_ratio
    return verdict("stack-memory", [at_most("steady peak here / there", ratio, threshold, note=note)])


def judge_stack_pictures(stacks: StackComparison, thresholds: Thresholds, *, no_pictures: str | None = None) -> Verdict:
    """
    Is every picture drawn here the other stack's, within the `stored` band, which is that of drift over upgrades?

    Args:
        stacks: Both stacks' pictures.
        thresholds: In force here.
        no_pictures: Why none was drawn.
    """
    if no_pictures is not None:
        return verdict("stack-pictures", [found("pictures", Outcome.NOT_APPLICABLE, no_pictures)])
    if differences := stacks.here.fingerprint.picture.differences(stacks.there.fingerprint.picture):
        note = f"other picture identity: {', '.join(differences)}"
        return verdict("stack-pictures", [found(f"{ANCHOR} {SSIM}", Outcome.NOT_COMPARABLE, note)])
    checks = [check for picture in stacks.pictures for check in _picture_checks(picture, thresholds)]
    checks += count_checks(ANCHOR, thresholds.stored, len(stacks.pictures))
    return verdict("stack-pictures", checks)


def _picture_checks(picture: StackPicture, thresholds: Thresholds) -> list[Check]:
    of, path = f"{quoted(picture.prompt)} seed {picture.seed}", picture.here_file
    if picture.tripwires:
        return [found("picture", Outcome.REGRESSION, ", ".join(picture.tripwires), of=of, path=path)]
    there, here = picture.there_clip, picture.here_clip
    drop = there - here if there is not None and here is not None else None
    clip = at_most(f"CLIP drop from {ANCHOR}", drop, thresholds.max_clip_drop, of=of, unit="points", path=path)
    return [*band_checks(ANCHOR, picture.scores, thresholds.stored, of=of, path=path), clip]
