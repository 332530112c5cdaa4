"""Thresholds that a record could stand for: margins, both kinds of judging, and what is left out."""

import math
import tomllib
from collections.abc import Callable

import pytest
from tests.scores import scores

from nearlossless.accepting.proposals import Proposal, proposals, tighter
from nearlossless.cases.case import Sampling
from nearlossless.cases.loosening import is_looser
from nearlossless.cases.thresholds import Thresholds
from nearlossless.fields import Device
from nearlossless.gates import GIB, judge_memory, judge_speedup, judge_startup
from nearlossless.processes.job import ProcessRun
from nearlossless.record import Record
from nearlossless.record.quality import ParityRecord, PictureRecord, StepParity
from nearlossless.record.shapes import SizeRecord, SwapRecord
from nearlossless.record.subject import SubjectRecord
from nearlossless.speed.latencies import PairedLatencies
from nearlossless.verdicts import Outcome

MakeRun = Callable[..., ProcessRun]
JITTER = [1.0, 1.001, 0.999, 1.0005, 0.9995, 1.0, 1.001, 0.999]


@pytest.fixture
def measured(full_record: Record, process_run: MakeRun) -> SubjectRecord:
    """A subject on CUDA: twice as fast, 2 GiB against 4, 10 s cold, half as long warm, one picture that fits."""
    measured = full_record.subjects[0]
    measured.device = "cuda"
    measured.speeds.baseline_s = [2.0 * factor for factor in JITTER]
    measured.speeds.compiled_s = [1.0 * factor for factor in reversed(JITTER)]
    measured.baseline_process = process_run(steady_bytes=4 * GIB, kind="allocated")
    measured.cold_process = process_run(steady_bytes=2 * GIB, load_s=2.0, first_call_s=8.0, kind="allocated")
    measured.warm_process = process_run(steady_bytes=2 * GIB, first_call_s=4.0, kind="allocated")
    measured.pictures = [
        PictureRecord(prompt="x", seed=1, height=64, width=64, live=scores(0.98), stored=scores(0.999))
    ]
    measured.sizes = [SizeRecord(height=64, width=64, compiles=0, latency_s=1.0, live_worst_tile_ssim=0.97)]
    return measured


def proposed(measured: SubjectRecord) -> dict[str, float]:
    """Every proposed value by its threshold."""
    return {p.name: p.value for p in proposals(measured, Sampling()) if p.value is not None}


def left_out(measured: SubjectRecord) -> dict[str, Proposal]:
    """What is not proposed, by its threshold."""
    return {p.name: p for p in proposals(measured, Sampling()) if p.value is None}


def test_margins_are_as_stated(measured: SubjectRecord) -> None:
    """Each value is the measured figure with its margin, rounded away from it."""
    assert proposed(measured) == {
        "min_speedup": pytest.approx(1.92, abs=0.021),
        "max_memory_ratio": 0.51,
        "max_latency_s": 1.05,
        "max_peak_gib": 2.04,
        "live.min_ssim": 0.94,
        "stored.min_ssim": 0.99,
        "max_cold_start_s": 15.0,
        "max_warm_start_ratio": 0.75,
        "max_artifact_start_ratio": 0.63,
    }


def test_speedup_floor_lies_below_the_interval(measured: SubjectRecord) -> None:
    """The floor is 3 % below what the interval excludes, so the same samples pass it."""
    value = proposed(measured)["min_speedup"]
    pairs = PairedLatencies(measured.speeds.baseline_s, measured.speeds.compiled_s)
    assert judge_speedup([pairs], Sampling(), Thresholds(min_speedup=value)).outcome is Outcome.PASS
    assert value < 2.0 * 0.97


def test_same_record_passes_what_it_proposes(measured: SubjectRecord) -> None:
    """Memory and start-up of the record are within the thresholds that it proposes."""
    lines = [f"{name} = {value}" for name, value in proposed(measured).items()]
    thresholds = Thresholds.model_validate(tomllib.loads("\n".join(lines)))
    base, cold, warm = measured.baseline_process, measured.cold_process, measured.warm_process
    assert base is not None
    assert cold is not None
    assert warm is not None
    assert judge_memory(base, cold, thresholds).is_pass
    assert judge_startup(cold, warm, thresholds).is_pass


def test_cpu_with_baseline_gets_no_absolute_figures(measured: SubjectRecord) -> None:
    """An instruction set names many machines: where a ratio can judge, nothing absolute is proposed for it."""
    measured.device = "cpu"
    assert not {"max_latency_s", "max_peak_gib"} & set(proposed(measured))


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_without_baseline_absolute_figures_alone_are_proposed(measured: SubjectRecord, device: Device) -> None:
    """Where the baseline does not fit, latency and peak are proposed and nothing relative to it."""
    measured.device, measured.baseline_does_not_fit = device, "too large for this machine"
    found = set(proposed(measured))
    assert {"max_latency_s", "max_peak_gib"} <= found
    assert not {"min_speedup", "max_memory_ratio", "live.min_ssim"} & found


@pytest.mark.parametrize(("similarity", "is_proposed"), [(0.9, True), (0.8999, False), (math.nan, False)])
def test_lossy_pictures_propose_no_band(measured: SubjectRecord, similarity: float, is_proposed: bool) -> None:
    """A worst tile below 0.9 is no rounding: its band is left to a person."""
    measured.pictures[0].live = None if similarity is None else scores(similarity)
    measured.sizes[0].live_worst_tile_ssim = 0.999
    assert ("live.min_ssim" in proposed(measured)) is is_proposed
    assert ("live.min_ssim" in left_out(measured)) is not is_proposed


def test_sizes_alone_propose_no_band(measured: SubjectRecord) -> None:
    """Synthetic weights draw sizes and no pictures: how alike those are says nothing about a band."""
    measured.pictures = []
    assert "live.min_ssim" not in proposed(measured) | left_out(measured)


def test_swaps_count_for_the_band(measured: SubjectRecord) -> None:
    """A swap of LoRAs that is less alike than every picture lowers the proposed band."""
    before = proposed(measured)["live.min_ssim"]
    measured.swaps = [SwapRecord(lora="a", compiles=0, live_worst_tile_ssim=0.92)]
    assert proposed(measured)["live.min_ssim"] < before


@pytest.mark.parametrize("change", [{"stored_foreign": ["hardware"]}, {"stored_problem": "none"}])
def test_stored_band_comes_from_pictures_of_this_hardware(measured: SubjectRecord, change: dict[str, object]) -> None:
    """Foreign or unusable stored pictures propose no band."""
    measured.pictures = [measured.pictures[0].model_copy(update=change)]
    assert "stored.min_ssim" not in proposed(measured)


def test_clip_drop_is_left_to_a_person(measured: SubjectRecord) -> None:
    """A drop near zero has no sound margin, and that is said."""
    assert "by hand" in left_out(measured)["max_clip_drop"].basis


@pytest.mark.parametrize(("warm_s", "is_proposed"), [(7.5, True), (7.6, False), (9.0, False)])
def test_caches_that_save_nothing_propose_no_ratio(
    measured: SubjectRecord, process_run: MakeRun, warm_s: float, is_proposed: bool
) -> None:
    """A warm first call as long as a cold one leaves nothing that a threshold could hold."""
    measured.warm_process = process_run(first_call_s=warm_s)
    assert ("max_warm_start_ratio" in proposed(measured)) is is_proposed


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 0.0, -1.0, 1e30])
def test_impossible_figures_are_never_proposed(measured: SubjectRecord, process_run: MakeRun, value: float) -> None:
    """Whatever a record claims, what no pipeline can take becomes no threshold."""
    measured.speeds.compiled_s[3] = value
    measured.cold_process = process_run(load_s=value, first_call_s=value, steady_bytes=0)
    names = {"min_speedup", "max_latency_s", "max_memory_ratio", "max_peak_gib", "max_cold_start_s"}
    if value == 1e30:  # one absurd sample: the median and the interval forgive it, or exclude nothing
        names -= {"max_latency_s"}
    assert not names & set(proposed(measured))


def test_peak_since_start_is_not_proposed(measured: SubjectRecord, process_run: MakeRun) -> None:
    """Where the steady peak cannot be told from compilation, no budget comes from it."""
    measured.cold_process = process_run(kind="resident since start")
    assert not {"max_memory_ratio", "max_peak_gib"} & set(proposed(measured))


def test_nothing_measured_proposes_nothing(measured: SubjectRecord) -> None:
    """A subject whose gates never ran proposes no threshold."""
    measured.baseline_process = measured.cold_process = measured.warm_process = None
    measured.speeds, measured.pictures, measured.sizes = type(measured.speeds)(), [], []
    measured.parity = ParityRecord()
    assert proposals(measured, Sampling()) == []


def test_step_parity_is_shown_and_left_to_a_person(measured: SubjectRecord) -> None:
    """How far off a recipe may be is not measured: the worst step is told, and nothing where none was measured."""
    measured.parity = ParityRecord(steps=[StepParity(step=0, ratio=1.01), StepParity(step=1, ratio=1.04)])
    assert "worst step 1.04" in left_out(measured)["max_parity_ratio"].basis
    measured.parity = ParityRecord()
    assert "max_parity_ratio" not in left_out(measured)


def run_of(name: str, value: float | None, measured: float | None) -> list[Proposal]:
    """What one run proposes for one threshold."""
    return [Proposal(name=name, value=value, basis="measured", measured=measured)]


@pytest.mark.parametrize(
    ("name", "first", "second", "threshold", "offered"),
    [
        ("max_peak_gib", (10.2, 10.0), (10.2, 10.0), 10.4, 10.2),
        ("max_peak_gib", (10.2, 10.0), (10.2, 10.0), 10.39, None),
        ("max_peak_gib", (10.2, 10.0), (10.3, 10.1), 10.5, 10.3),
        ("max_peak_gib", (10.3, 10.1), (10.2, 10.0), 10.5, 10.3),
        ("max_peak_gib", (10.2, 10.0), (10.3, 10.1), 10.45, None),
        ("max_peak_gib", (10.3, 10.1), (10.2, 10.0), 10.45, None),
        ("live.min_ssim", (0.98, 0.99), (0.97, 0.985), 0.95, 0.97),
        ("live.min_ssim", (0.98, 0.99), (0.97, 0.985), 0.96, None),
        ("live.min_ssim", (0.97, 0.985), (0.98, 0.99), 0.95, 0.97),
        ("min_speedup", (1.9, 2.0), (1.9, 2.0), 1.8, 1.9),
        ("min_speedup", (1.9, 2.0), (1.9, 2.0), 1.81, None),
        ("min_speedup", (1.9, 2.0), (1.9, 2.0), 2.5, None),
        ("min_speedup", (None, None), (1.9, 2.0), 1.0, None),
        ("min_speedup", (1.9, 2.0), (None, None), 1.0, None),
    ],
)
def test_tighter_value_needs_twice_the_margin_in_both_runs(
    name: str,
    first: tuple[float | None, float | None],
    second: tuple[float | None, float | None],
    threshold: float,
    offered: float | None,
) -> None:
    """Both runs must leave a threshold at least twice the proposed margin; the looser proposal is offered."""
    found = tighter(run_of(name, *first), run_of(name, *second), {name: threshold})
    assert [proposal.value for proposal in found] == ([] if offered is None else [offered])


def test_nothing_is_tightened_that_is_not_in_force() -> None:
    """A threshold that is missing, or that the former run did not measure, has no tighter value."""
    run = run_of("max_peak_gib", 10.2, 10.0)
    assert tighter(run, run, {"max_peak_gib": None}) == []
    assert tighter([], run, {"max_peak_gib": 99.0}) == []


def test_every_proposal_with_a_value_tells_what_was_measured(measured: SubjectRecord) -> None:
    """The margin that a proposal takes can be told from it, and is on the loose side of what was measured."""
    for proposal in proposals(measured, Sampling()):
        if proposal.value is not None:
            assert proposal.measured is not None
            assert is_looser(proposal.name, proposal.value, proposal.measured), proposal
