"""Step parity and replay of the miniature under `inductor`, in units of one generation of its baseline."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tests.benchmarks.cost.scores import seconds

from nearlossless.cases.files import load_case
from nearlossless.measuring import baseline_drawer
from nearlossless.measuring.building import compile_beside
from nearlossless.measuring.recording import Recording, record_baseline
from nearlossless.measuring.replaying import measure_replay
from nearlossless.measuring.step_parity import measure_parity
from nearlossless.pipelines.loading import build_baseline
from nearlossless.pipelines.requests import batches
from nearlossless.progress import Progress
from nearlossless.runs.selection import Subject

MINIATURE = Path(__file__).parents[3] / "baselines" / "miniature"
RECIPE = "inductor"
SILENT = Progress(lambda _: None)


def subject_of(case_folder: Path) -> Subject:
    """The miniature under its recipe, on the CPU."""
    case = load_case(case_folder)
    return Subject(
        case=case,
        case_folder=case_folder,
        recipe_name=RECIPE,
        recipe=case.recipes[RECIPE],
        device="cpu",
        is_named=True,
    )


def measure_parity_cost(rounds: int) -> dict[str, Any]:
    """One generation, the recording with step parity, and the replay of it, in turn."""
    subject = subject_of(MINIATURE)
    baseline = build_baseline(subject.case, "cpu")
    compiled, _ = compile_beside(baseline, subject, SILENT)
    generate = partial(baseline_drawer(baseline, subject.case), batches(subject.case.generation)[0])
    recordings: list[Recording] = []

    def parity() -> None:
        recordings[:] = [record_baseline(baseline, subject.case)]
        found = measure_parity(recordings[0], compiled, subject, SILENT)
        assert found.problem is None
        assert len(found.steps) == subject.case.generation.parity_steps

    def replay() -> None:
        assert measure_replay(recordings[0], compiled, subject, SILENT).problem is None

    calls: dict[str, Callable[[], object]] = {"generation_s": generate, "parity_s": parity, "replay_s": replay}
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name, call in calls.items():
            spent_s = seconds(call)
            taken[name] += [spent_s] if number else []  # the first round warms up
    units = taken["generation_s"]
    return taken | {
        "steps": subject.case.generation.steps,
        "parity_steps": subject.case.generation.parity_steps,
        "parity_ratios": [spent_s / unit_s for spent_s, unit_s in zip(taken["parity_s"], units, strict=True)],
        "replay_ratios": [spent_s / unit_s for spent_s, unit_s in zip(taken["replay_s"], units, strict=True)],
    }
