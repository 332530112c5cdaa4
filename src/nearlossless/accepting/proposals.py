"""What a subject measured -> the thresholds that its figures could stand for, with stated margins."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from nearlossless.cases.case import Sampling
from nearlossless.cases.loosening import is_looser
from nearlossless.gates import GIB
from nearlossless.memory.peaks import SINCE_START
from nearlossless.record.shapes import SizeRecord, SwapRecord
from nearlossless.record.subject import SubjectRecord
from nearlossless.speed.latencies import PairedLatencies
from nearlossless.speed.replicas import across
from nearlossless.speed.speedup import judge_latencies, judge_pairs

# Beyond these a figure describes no pipeline, whatever a record says.
_PLAUSIBLE = {
    "min_speedup": (0.01, 1000.0),
    "max_latency_s": (1e-4, 86_400.0),
    "max_memory_ratio": (0.001, 1000.0),
    "max_peak_gib": (1e-3, 100_000.0),
    "max_cold_start_s": (1e-3, 86_400.0),
    "max_warm_start_ratio": (1e-4, 1.0),
    "max_artifact_start_ratio": (1e-4, 1.0),
    "live.min_ssim": (0.5, 1.0),
    "stored.min_ssim": (0.5, 1.0),
}
LEAST_SSIM_MARGIN = 0.01  # closer to 1 than this, the next version of a library would be refused
LOSSY_SSIM = 0.9  # worst tiles below are no rounding any more: how lossy a recipe may be is not measured but decided


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A threshold that a record could stand for; without a value, why it is left out."""

    name: str  # of the field of `Thresholds`
    value: float | None
    basis: str
    measured: float | None = None  # what the value leaves its margin to

    def leaves_room(self, threshold: float) -> bool:
        """Whether a threshold in force is at least twice as far from what was measured as the proposed value is."""
        if self.value is None or self.measured is None or self.value == self.measured:
            return False
        return (threshold - self.measured) / (self.value - self.measured) >= 2 - 1e-9


def proposals(subject: SubjectRecord, sampling: Sampling) -> list[Proposal]:
    """
    Every threshold that the raw samples of a subject allow, and those that they do not, with the reason.

    Ratios are proposed where there is a baseline. Absolute seconds of drawing and absolute memory are proposed on
    CUDA, where the hardware's name is one GPU model, and on a CPU, whose name is an instruction set that many
    machines share, only where nothing else can judge.
    """
    return [_checked(proposal) for proposal in _all(subject, sampling)]


def tighter(
    former: Sequence[Proposal], present: Sequence[Proposal], in_force: Mapping[str, float | None]
) -> list[Proposal]:
    """
    Thresholds that two runs left at least twice the margin that would be proposed: the looser of both proposals.

    Args:
        former: What an earlier run proposes.
        present: What this run proposes.
        in_force: Thresholds by name.
    """
    before = {proposal.name: proposal for proposal in former}
    found = []
    for proposal in present:
        threshold, other = in_force.get(proposal.name), before.get(proposal.name)
        if threshold is None or other is None:
            continue
        if proposal.leaves_room(threshold) and other.leaves_room(threshold):
            assert proposal.value is not None
            assert other.value is not None
            chosen = other if is_looser(proposal.name, other.value, proposal.value) else proposal
            basis = f"was {threshold:g}; two runs: {other.measured:.4g}, then {proposal.measured:.4g}"
            found.append(replace(chosen, basis=basis))
    return found


def _all(subject: SubjectRecord, sampling: Sampling) -> Iterator[Proposal]:
    has_baseline = subject.baseline_does_not_fit is None and subject.baseline_out_of_memory is None
    wants_absolute = subject.device == "cuda" or not has_baseline
    if has_baseline:
        yield from _speedup(subject, sampling)
        yield from _memory_ratio(subject)
        if subject.pictures:  # of synthetic weights sizes are drawn too, and say nothing about a band
            drawn: list[SizeRecord | SwapRecord] = [*subject.sizes, *subject.swaps]
            similarities = [picture.live.worst_tile_ssim if picture.live else None for picture in subject.pictures]
            yield from _similarity("live.min_ssim", similarities + [each.live_worst_tile_ssim for each in drawn])
        yield from _parity(subject)
    if wants_absolute:
        yield from _latency(subject, sampling)
        yield from _peak(subject)
    own = [p for p in subject.pictures if not (p.stored_problem or p.stored_foreign)]
    stored = [p.stored.worst_tile_ssim if p.stored else None for p in own]
    yield from _similarity("stored.min_ssim", stored if len(stored) == len(subject.pictures) else [])
    if subject.pictures:
        basis = "a drop near zero does not tell how far prompts may slip: decide it by hand"
        yield Proposal(name="max_clip_drop", value=None, basis=basis)
    yield from _startup(subject)
    for name in ("max_stack_slowdown", "max_stack_memory_ratio") if subject.stacks is not None else ():
        basis = "what an upgrade may cost is not measured but decided: set it by hand"
        yield Proposal(name=name, value=None, basis=basis)


def _checked(proposal: Proposal) -> Proposal:
    low, high = _PLAUSIBLE.get(proposal.name, (-math.inf, math.inf))
    if proposal.value is None or low <= proposal.value <= high:
        return proposal
    return Proposal(name=proposal.name, value=None, basis=f"{proposal.value:g} is beyond [{low:g}, {high:g}]")


def _ceiling(name: str, measured: float, factor: float, digits: int, basis: str) -> Proposal:
    if not (math.isfinite(measured) and measured > 0):
        return Proposal(name=name, value=None, basis=f"{measured} is no measurement")
    scale = 10**digits
    value = math.ceil(measured * factor * scale - 1e-9) / scale
    return Proposal(name=name, value=value, basis=basis, measured=measured)


def _floor(value: float, digits: int) -> float:
    scale: float = 10**digits
    return math.floor(value * scale + 1e-9) / scale


def _speedup(subject: SubjectRecord, sampling: Sampling) -> Iterator[Proposal]:
    speeds = subject.speeds
    if not speeds.baseline_s or len(speeds.baseline_s) != len(speeds.compiled_s):
        return
    shared = sampling.shared_by(len(speeds.runs))
    check = across([judge_pairs(pairs, sampling=shared, min_speedup=None) for pairs in speeds.runs])
    if check.obtained is None or check.interval is None or not check.interval.low > 0:
        basis = check.note if check.obtained is None else f"{len(speeds.baseline_s)} pairs leave no lower end"
        yield Proposal(name="min_speedup", value=None, basis=basis)
        return
    basis = f"measured {check.obtained:.4g}, interval's lower end {check.interval.low:.4g} less 3 %"
    yield Proposal(
        name="min_speedup", value=_floor(check.interval.low * 0.97, 2), basis=basis, measured=check.interval.low
    )


def _latency(subject: SubjectRecord, sampling: Sampling) -> Iterator[Proposal]:
    if subject.speeds.compiled_s:
        latencies = PairedLatencies([], subject.speeds.compiled_s, subject.speeds.set_aside)
        check = judge_latencies(latencies, sampling=sampling, max_latency_s=None)
        measured = check.obtained if check.obtained is not None else math.nan
        yield _ceiling("max_latency_s", measured, 1.05, 3, f"measured {measured:.4g} s, plus 5 %")


def _memory_ratio(subject: SubjectRecord) -> Iterator[Proposal]:
    base, cold = subject.baseline_process, subject.cold_process
    if base is None or cold is None or SINCE_START in (base.peaks.kind, cold.peaks.kind):
        return
    measured = cold.peaks.steady_bytes / base.peaks.steady_bytes if base.peaks.steady_bytes > 0 else math.nan
    yield _ceiling("max_memory_ratio", measured, 1.02, 3, f"measured {measured:.4g}, plus 2 %")


def _peak(subject: SubjectRecord) -> Iterator[Proposal]:
    cold = subject.cold_process
    if cold is not None and cold.peaks.kind != SINCE_START:
        measured = cold.peaks.steady_bytes / GIB
        yield _ceiling("max_peak_gib", measured, 1.02, 3, f"measured {measured:.4f} GiB, plus 2 %")


def _parity(subject: SubjectRecord) -> Iterator[Proposal]:
    ratios = [step.ratio for step in subject.parity.steps if step.ratio is not None]
    if ratios:
        basis = f"worst step {max(ratios):.4g}: how far off a recipe may be is decided by hand, 1.5 if it only rounds"
        yield Proposal(name="max_parity_ratio", value=None, basis=basis)


def _similarity(name: str, similarities: list[float | None]) -> Iterator[Proposal]:
    measured = [value for value in similarities if value is not None]
    if not measured:
        return
    worst = min(measured) if all(map(math.isfinite, measured)) else math.nan
    if not LOSSY_SSIM <= worst <= 1 + 1e-6:
        basis = f"worst tile {worst:.4g}: how lossy a recipe may be is not measured but decided, set it by hand"
        yield Proposal(name=name, value=None, basis=basis)
        return
    basis = f"worst tile {worst:.5g} of {len(measured)} pictures, twice its distance to 1, at least {LEAST_SSIM_MARGIN}"
    value = _floor(min(1 - 2 * (1 - worst), 1 - LEAST_SSIM_MARGIN), 3)
    yield Proposal(name=name, value=value, basis=basis, measured=worst)


def _startup(subject: SubjectRecord) -> Iterator[Proposal]:
    cold, warm = subject.cold_process, subject.warm_process
    if cold is None:
        return
    seconds = cold.load_s + cold.first_call_s
    yield _ceiling("max_cold_start_s", seconds, 1.5, 1, f"measured {seconds:.4g} s, times 1.5")
    for name, run, saved in (
        ("max_warm_start_ratio", warm, "primed caches"),
        ("max_artifact_start_ratio", subject.artifact_process, "compile artifacts"),
    ):
        if run is not None:
            yield _first_call(name, run.first_call_s, cold.first_call_s, saved)


def _first_call(name: str, seconds: float, cold_s: float, saved: str) -> Proposal:
    ratio = seconds / cold_s if cold_s > 0 else math.nan
    if not 0 < ratio < 0.95:
        return Proposal(name=name, value=None, basis=f"measured {ratio:.3g}: {saved} saved nothing that could be held")
    basis = f"measured {ratio:.3g}, half of what {saved} saved may be lost"
    return Proposal(name=name, value=math.ceil((1 + ratio) / 2 * 100 - 1e-9) / 100, basis=basis, measured=ratio)
