"""
Two stacks for real, each in a worker process: the same one twice, and one that is planted worse.

`NEARLOSSLESS_OTHER_PYTHON` names the interpreter of another environment to compare with; else it is this one.
"""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nearlossless.backends import BackendError
from nearlossless.cases.case import Case, Sampling
from nearlossless.cases.recipes import Recipe
from nearlossless.cases.thresholds import Thresholds
from nearlossless.gates import judge_stack_memory, judge_stack_pictures, judge_stack_speed
from nearlossless.measuring import BaselineError
from nearlossless.measuring.other_stack import CALLS_A_TURN, both_stacks, compare_stacks
from nearlossless.processes.parent import WorkerError
from nearlossless.progress import Progress
from nearlossless.runs.selection import Subject
from nearlossless.stacks.results import Side, StackComparison
from nearlossless.stacks.workers import Stack
from nearlossless.verdicts import Outcome

pytestmark = pytest.mark.slow

OTHER_PYTHON = Path(os.environ.get("NEARLOSSLESS_OTHER_PYTHON", sys.executable))
LIMIT_S = 240.0
SAMPLING = Sampling(min_pairs=3, max_pairs=40)
THRESHOLDS = Thresholds.model_validate(
    {
        "max_stack_slowdown": 0.5,
        "max_stack_memory_ratio": 1.3,
        "stored": {"min_ssim": 0.98},
        "max_clip_drop": 0.5,
    }
)
BACKEND = '''
"""What PLANTED names goes wrong; it is set for one worker only."""

import fcntl
import os

PLANTED = os.environ.get("PLANTED", "").split()
held = []


class Planted:
    def __init__(self, pipeline):
        self._pipeline = pipeline
        self.hoard = b"1" * 2**29 if "hoards" in PLANTED else b""

    def __getattr__(self, name):
        return getattr(self._pipeline, name)

    def __call__(self, *arguments, **options):
        if "leaves" in PLANTED:
            os._exit(3)
        for _ in range(4 if "repeats" in PLANTED else 0):
            self._pipeline(*arguments, **options)
        output = self._pipeline(*arguments, **options)
        if "paints" in PLANTED:
            output.images[0].paste((255, 0, 255), (16, 16, 32, 32))
        return output


def apply(pipeline):
    if "raises" in PLANTED:
        raise RuntimeError("the kernel is missing")
    if "ROOM_FOR_ONE" in os.environ:
        import torch

        held.append(open(os.environ["ROOM_FOR_ONE"], "w"))
        try:
            fcntl.flock(held[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory: planted") from None
    return Planted(pipeline)
'''

Compare = Callable[..., StackComparison]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The current folder of all workers, where they find the planted backend."""
    folder, former = tmp_path_factory.mktemp("stacks"), Path.cwd()
    (folder / "planted_stack.py").write_text(BACKEND, encoding="utf-8")
    os.chdir(folder)
    yield folder
    os.chdir(former)


@pytest.fixture(scope="module")
def compare(tiny_case: Case, make_subject: Callable[..., Subject], silent: Progress, folder: Path) -> Compare:
    """Compares two stacks on a small case; the keywords are variables that only one side's worker gets."""
    generation = tiny_case.generation.model_copy(update={"prompts": tiny_case.generation.prompts[:1]})
    case = tiny_case.model_copy(update={"generation": generation, "thresholds": THRESHOLDS, "overrides": {}})

    def run(
        python: Path = OTHER_PYTHON,
        *,
        limit_s: float = LIMIT_S,
        sampling: Sampling = SAMPLING,
        **variables: dict[str, str],
    ) -> StackComparison:
        subject = make_subject(case.model_copy(update={"sampling": sampling}), Recipe(backend="planted_stack:apply"))
        with both_stacks(python, subject, folder) as stacks:
            changed: dict[Side, Stack] = {
                side: Stack(python=stack.python, environment={**stack.environment, **variables.get(side, {})})
                for side, stack in stacks.items()
            }
            return compare_stacks(changed, subject, silent, report_folder=folder / "report", limit_s=limit_s)

    return run


@pytest.fixture(scope="module")
def unchanged(compare: Compare) -> StackComparison:
    """Nothing planted."""
    return compare()


@pytest.fixture(scope="module")
def worse_here(compare: Compare) -> StackComparison:
    """Five times the work, half a GiB more and a painted tile, here alone."""
    return compare(here={"PLANTED": "repeats hoards paints"})


def test_unchanged_stack_passes(unchanged: StackComparison) -> None:
    """A stack beside itself, or beside the one that is named, passes all three gates within the pairs allowed."""
    verdicts = [
        judge_stack_speed(unchanged, SAMPLING, THRESHOLDS),
        judge_stack_memory(unchanged, THRESHOLDS),
        judge_stack_pictures(unchanged, THRESHOLDS),
    ]
    assert [verdict.outcome for verdict in verdicts] == [Outcome.PASS] * 3, "\n".join(map(str, verdicts))
    assert not unchanged.takes_turns


def test_same_versions_draw_the_same_bits(unchanged: StackComparison) -> None:
    """Every picture was drawn by both, and where no version differs each is the same to the bit."""
    assert len(unchanged.pictures) == 2
    if not unchanged.changes:
        assert unchanged.equal_pictures == 2


def test_pictures_of_both_are_kept(unchanged: StackComparison, folder: Path) -> None:
    """The report folder has both pictures of each request."""
    files = [file for picture in unchanged.pictures for file in (picture.there_file, picture.here_file)]
    assert all(file is not None and (folder / "report" / file).is_file() for file in files)
    assert len(set(files)) == 4


def test_slower_here_is_a_regression(worse_here: StackComparison) -> None:
    """Five times the work here alone loses the speed."""
    verdict = judge_stack_speed(worse_here, SAMPLING, THRESHOLDS)
    assert verdict.outcome is Outcome.REGRESSION, verdict.reason


def test_larger_here_is_a_regression(worse_here: StackComparison) -> None:
    """Half a GiB more here alone loses the memory."""
    verdict = judge_stack_memory(worse_here, THRESHOLDS)
    assert verdict.outcome is Outcome.REGRESSION, verdict.reason
    assert worse_here.here.peak_bytes - worse_here.there.peak_bytes > 2**28


def test_drawn_differently_here_is_a_regression(worse_here: StackComparison) -> None:
    """A painted tile here alone loses the pictures."""
    verdict = judge_stack_pictures(worse_here, THRESHOLDS)
    assert verdict.outcome is Outcome.REGRESSION, verdict.reason


def test_slower_there_is_none(compare: Compare) -> None:
    """The stack there is the one to hold to: slower and larger there is no regression here, another picture is one."""
    comparison = compare(there={"PLANTED": "repeats hoards paints"})
    outcomes = [
        judge_stack_speed(comparison, SAMPLING, THRESHOLDS).outcome,
        judge_stack_memory(comparison, THRESHOLDS).outcome,
        judge_stack_pictures(comparison, THRESHOLDS).outcome,
    ]
    assert outcomes == [Outcome.PASS, Outcome.PASS, Outcome.REGRESSION]


def test_where_both_do_not_fit_they_take_turns(compare: Compare, folder: Path) -> None:
    """A second worker that finds no memory ends the first: both are measured in turns, and the verdict says so."""
    room = {"ROOM_FOR_ONE": str(folder / "room")}
    few = SAMPLING.model_copy(update={"budget_s": 1.0})  # each turn starts a process
    comparison = compare(there=room, here=room, sampling=few)
    assert comparison.takes_turns
    assert {len(seconds) for pair in comparison.pairs for seconds in (pair.there_s, pair.here_s)} == {CALLS_A_TURN}
    assert "took turns" in judge_stack_speed(comparison, SAMPLING, THRESHOLDS).reason
    assert judge_stack_pictures(comparison, THRESHOLDS).is_pass


def test_failure_there_is_no_fault_of_here(compare: Compare) -> None:
    """A stack that cannot draw there leaves nothing to compare with, and is named with its error."""
    with pytest.raises(BaselineError, match=r"other stack.*\n?.*the kernel is missing"):
        compare(there={"PLANTED": "raises"})


def test_failure_here_is_told_as_it_is(compare: Compare) -> None:
    """A stack that cannot draw here has failed."""
    with pytest.raises(BackendError, match="the kernel is missing"):
        compare(here={"PLANTED": "raises"})


def test_worker_that_dies_is_told(compare: Compare) -> None:
    """A worker that ends in the middle of a call is told with phase and exit code."""
    with pytest.raises(WorkerError, match="ended in phase 'first call' with exit code 3"):
        compare(here={"PLANTED": "leaves"})


def test_worker_is_ended_at_its_limit(compare: Compare) -> None:
    """A worker that does not answer in time leaves nothing to compare with; the phase it was in is named."""
    with pytest.raises(BaselineError, match="still in phase 'start' at the time limit"):
        compare(limit_s=0.05)
