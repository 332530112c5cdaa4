"""Several processes asked the same question: what they say together."""

import os
from pathlib import Path

import pytest
import torch

from nearlossless.cases.case import Case, Sampling
from nearlossless.cases.thresholds import Thresholds
from nearlossless.gates import judge_speedup
from nearlossless.measuring.replicas import measure_replicas
from nearlossless.progress import Progress
from nearlossless.record.speed import AcceptedSpeeds, Samples
from nearlossless.runs.selection import replicated, select_subjects
from nearlossless.sequential import Interval
from nearlossless.speed.latencies import PairedLatencies
from nearlossless.speed.pairing import PairingJob
from nearlossless.speed.replicas import across
from nearlossless.speed.slowdown import SPEEDUP, judge_slowdown, slowdown_questions
from nearlossless.verdicts import Check, Outcome, found, interval_at_least, interval_at_most

SAMPLING = Sampling()


def speedup(obtained: float, threshold: float | None = 1.5) -> Check:
    """What one process found, 1 % in either direction."""
    interval = Interval(0.99 * obtained, 1.01 * obtained)
    return interval_at_least("speedup", obtained, interval, threshold, unit="x", note=f"at {obtained}")


def pairs(speedup: float, count: int = 30) -> PairedLatencies:
    """Pairs of a compiled pipeline this many times as fast, with a scatter of 0.2 %."""
    return PairedLatencies([1.0 + 0.002 * (i * 7 % 5 - 2) / 2 for i in range(count)], [1 / speedup] * count)


def test_one_process_speaks_for_itself() -> None:
    """Without a second process nothing is added, not even to the note."""
    assert across([speedup(1.6)]) == speedup(1.6)


def test_no_process_is_an_error() -> None:
    """Nothing can be said of no process."""
    with pytest.raises(ValueError, match="no process"):
        across([])


@pytest.mark.parametrize(
    ("speedups", "outcome"),
    [
        ((1.6, 1.7, 1.65), Outcome.PASS),
        ((1.3, 1.2, 1.4), Outcome.REGRESSION),
        ((1.6, 1.7, 1.2), Outcome.INCONCLUSIVE),
        ((1.6, 1.5, 1.65), Outcome.INCONCLUSIVE),
    ],
)
def test_only_what_all_processes_say_is_said(speedups: tuple[float, ...], outcome: Outcome) -> None:
    """A floor between the fastest and the slowest process leaves the question open."""
    assert across([speedup(value) for value in speedups]).outcome is outcome


def test_spread_between_processes_is_part_of_the_interval() -> None:
    """The interval spans all processes, the figure is the median, and the note tells each."""
    check = across([speedup(1.6), speedup(1.8), speedup(1.7)])
    assert check.interval == Interval(0.99 * 1.6, 1.01 * 1.8)
    assert check.obtained == 1.7
    assert check.note == "3 processes: 1.6, 1.8, 1.7; the worst of them: at 1.6"


def test_worst_of_a_ceiling_is_the_highest() -> None:
    """Where less is better, the note is that of the process with most."""
    checks = [
        interval_at_most("latency", value, Interval(value, value), 2.0, note=f"at {value}") for value in (1.0, 1.5)
    ]
    assert across(checks).note.endswith("at 1.5")


def test_process_without_a_figure_speaks_for_all() -> None:
    """What could not be measured in one process is not made up for by the others."""
    missing = found("speedup", Outcome.INCONCLUSIVE, "3 of 5 set aside")
    assert across([speedup(1.6), missing, speedup(1.7)]) == missing


def test_figures_without_a_threshold_are_still_told() -> None:
    """Where no threshold was measured yet, the hull is there to propose one from."""
    check = across([speedup(1.6, None), speedup(1.8, None)])
    assert (check.outcome, check.interval) == (Outcome.NOT_COMPARABLE, Interval(0.99 * 1.6, 1.01 * 1.8))


@pytest.mark.parametrize(
    ("speedups", "outcome"), [((1.6, 1.6), Outcome.PASS), ((1.6, 1.4), Outcome.INCONCLUSIVE)], ids=["alike", "unlike"]
)
def test_gate_judges_every_process(speedups: tuple[float, float], outcome: Outcome) -> None:
    """A process whose kernels are slower than the floor is not outvoted by the others."""
    verdict = judge_speedup([pairs(value) for value in speedups], SAMPLING, Thresholds(min_speedup=1.5))
    assert verdict.outcome is outcome


def test_processes_share_the_error_rate() -> None:
    """Two processes are each judged at half of alpha, so that both intervals hold together."""
    (one,) = judge_speedup([pairs(1.6)], SAMPLING.shared_by(2), Thresholds(min_speedup=1.5)).checks
    (two,) = judge_speedup([pairs(1.6), pairs(1.6)], SAMPLING, Thresholds(min_speedup=1.5)).checks
    assert two.interval == one.interval
    assert SAMPLING.shared_by(4).alpha == SAMPLING.alpha / 4


def accepted(*speedups: float) -> AcceptedSpeeds:
    """A record of as many processes."""
    first, *others = [Samples(baseline_s=pairs(s).baseline_s, compiled_s=pairs(s).compiled_s) for s in speedups]
    return AcceptedSpeeds(baseline_s=first.baseline_s, compiled_s=first.compiled_s, replicas=others)


@pytest.mark.parametrize(
    ("then", "now", "outcome"),
    [
        ((1.60, 1.64), 1.62, Outcome.INCONCLUSIVE),
        ((1.60, 1.61), 1.65, Outcome.PASS),
        ((1.60, 1.61), 1.55, Outcome.REGRESSION),
    ],
    ids=["within the spread", "faster than all", "slower than all"],
)
def test_spread_of_the_accepted_processes_counts(then: tuple[float, float], now: float, outcome: Outcome) -> None:
    """A run between the accepted processes is no slowdown and no proof of none."""
    (check, _) = judge_slowdown(pairs(now), accepted(*then), Thresholds(max_slowdown=0.0), SAMPLING)
    assert (check.name, check.outcome) == (SPEEDUP, outcome)


def test_unusable_accepted_process_makes_the_record_unusable() -> None:
    """A latency that no clock can have measured is named, in whichever process it is."""
    record = accepted(1.6, 1.6)
    record.replicas[0].compiled_s[0] = 0.0
    (check, _) = judge_slowdown(pairs(1.6), record, Thresholds(max_slowdown=0.0), SAMPLING)
    assert (check.outcome, "a latency of 0.0 s" in check.note) == (Outcome.NOT_COMPARABLE, True)
    assert slowdown_questions(record, Thresholds(max_slowdown=0.0), SAMPLING) == []


def test_subject_travels_to_another_process(shipped_baselines: Path) -> None:
    """What another process reads has the thresholds of this one, those of the recipe and the device among them."""
    (subject, *_) = select_subjects(shipped_baselines, cases=["miniature"], recipes=["inductor"], processes=2)
    job = PairingJob(
        case=subject.case,
        case_folder=subject.case_folder,
        recipe_name=subject.recipe_name,
        recipe=subject.recipe,
        device=subject.device,
        is_named=subject.is_named,
    )
    arrived = PairingJob.model_validate_json(job.model_dump_json()).subject
    assert arrived.thresholds == subject.thresholds
    assert arrived.case.sampling.processes == 2


def test_measured_lack_of_memory_travels_too(shipped_baselines: Path) -> None:
    """A baseline that ran out of memory in this run is not tried again in the next process."""
    (subject, *_) = select_subjects(shipped_baselines, cases=["miniature"], recipes=["inductor"])
    job = PairingJob(
        case=subject.case,
        case_folder=subject.case_folder,
        recipe_name=subject.recipe_name,
        recipe=subject.recipe,
        device=subject.device,
        is_named=subject.is_named,
        baseline_does_not_fit="load: out of memory",
    )
    assert "load: out of memory" in str(job.subject.baseline_does_not_fit)


@pytest.mark.parametrize(("asked", "processes"), [(1, 2), (2, 2), (3, 3)])
def test_option_asks_for_at_least_so_many_processes(miniature_case: Case, asked: int, processes: int) -> None:
    """A command line can ask for more evidence than the case does, not for less."""
    sampling = miniature_case.sampling.model_copy(update={"processes": 2})
    case = replicated(miniature_case.model_copy(update={"sampling": sampling}), asked)
    assert case.sampling.processes == processes


@pytest.mark.parametrize("holds", [True, False])
def test_further_processes_know_whether_the_session_holds_a_context(
    holds: bool, shipped_baselines: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session that has used the GPU before names itself to them, and no other one does."""
    (subject, *_) = select_subjects(shipped_baselines, cases=["miniature"], recipes=["inductor"], processes=2)
    jobs: list[PairingJob] = []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: holds)
    monkeypatch.setattr("nearlossless.measuring.replicas._measured", lambda job, *_: jobs.append(job))
    measure_replicas(subject, Progress(lambda _: None))
    assert [job.waiting for job in jobs] == [(os.getpid(),) if holds else ()]
