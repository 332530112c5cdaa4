"""The same (case, recipe) in two environments in turn: paired latencies, steady peaks, every picture."""

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from nearlossless.atomic import write_bytes
from nearlossless.baselines.comparison import batch_scores, tripped
from nearlossless.baselines.expected import encode_png, picture_name
from nearlossless.gates.stacks import speed_check
from nearlossless.metrics.clip import clip_scorer, judge_folder
from nearlossless.pipelines.requests import batches, requests
from nearlossless.processes.environment import cache_environment, child_environment
from nearlossless.processes.job import Job
from nearlossless.processes.parent import OutOfMemory
from nearlossless.progress import Progress
from nearlossless.runs.selection import Subject
from nearlossless.speed.quiet import watch_of
from nearlossless.stacks.interpreters import bare_environment
from nearlossless.stacks.results import SIDES, Side, StackComparison, StackPair, StackPicture, StackSide
from nearlossless.stacks.serving import Drawn
from nearlossless.stacks.workers import Stack, Workers
from nearlossless.verdicts import Outcome

if TYPE_CHECKING:
    from PIL import Image

CALLS_A_TURN = 5  # where both do not fit together: a start takes far longer than a call
Drawings = dict[Side, list[Drawn]]


@contextmanager
def both_stacks(python: Path, subject: Subject, cache: Path) -> Iterator[dict[Side, Stack]]:
    """
    The other environment's interpreter and this one's, each with the recipe's variables and with caches of its own.

    This one's worker imports what this process can import; the other environment's own libraries, this package's
    sources, and what lies in the current folder.
    """
    with bare_environment() as bare:
        interpreters = {"there": (python, bare), "here": (Path(sys.executable), child_environment({}))}
        yield {
            side: Stack(
                python=interpreters[side][0],
                environment={
                    **interpreters[side][1],
                    **cache_environment(cache / "stacks" / side),
                    **subject.recipe.environment,
                },
            )
            for side in SIDES
        }


def compare_stacks(
    stacks: Mapping[Side, Stack],
    subject: Subject,
    progress: Progress,
    *,
    report_folder: Path,
    limit_s: float | None = None,
) -> StackComparison:
    """
    Interleave both until the speed is decided or the budget ends, then draw every picture of the case with both.

    Both workers stay in memory and wait for each other. Where the GPU's memory does not suffice, they take turns of a
    few calls, each of which is one sample.

    Args:
        stacks: Of each side its interpreter and environment.
        subject: Names case, recipe, device and thresholds.
        progress: Told each phase.
        report_folder: Takes the pictures.
        limit_s: For each answer of a worker; None: the case's `startup_limit_s`.

    Raises:
        BaselineError: The other stack cannot draw: nothing can be compared.
        BackendError, BackendUnavailable, CaseError, WorkerError: This one cannot.
    """
    job = Job(case=subject.case, recipe=subject.recipe, device=subject.device)
    limit_s = limit_s if limit_s is not None else subject.case.sampling.startup_limit_s
    with progress.phase("two stacks: start"):
        try:
            with Workers(stacks, job, progress, takes_turns=False, limit_s=limit_s) as workers:
                return _compared(workers, subject, progress, report_folder)
        except OutOfMemory as error:
            progress.say(f"two stacks do not fit together ({str(error).splitlines()[0]}): they take turns")
        with Workers(stacks, job, progress, takes_turns=True, limit_s=limit_s) as workers:
            return _compared(workers, subject, progress, report_folder)


def _compared(workers: Workers, subject: Subject, progress: Progress, report_folder: Path) -> StackComparison:
    workers.start_both()
    pairs, drawings = _pairs(workers, subject, progress)
    with TemporaryDirectory(prefix="nearlossless-pictures-") as folder:
        sides: dict[Side, StackSide] = {}
        files: dict[Side, list[str]] = {}
        for side in workers.resident_first:
            progress.say(f"two stacks: pictures {side}")
            files[side] = _draw_all(workers, side, subject, Path(folder) / side)
            sides[side] = _side(workers, side, drawings[side])
        progress.say("two stacks: compare pictures")
        pictures = list(_compare_pictures(files, subject, report_folder))
    return StackComparison(
        there=sides["there"], here=sides["here"], takes_turns=workers.takes_turns, pairs=pairs, pictures=pictures
    )


def _side(workers: Workers, side: Side, drawings: list[Drawn]) -> StackSide:
    """A side's figures; its worker ends."""
    built, worst = workers.built[side], max(drawings, key=lambda drawn: drawn.peak_bytes)
    return StackSide(
        fingerprint=built.fingerprint,
        load_s=built.load_s,
        first_call_s=built.first_call_s,
        peak_kind=worst.peak_kind,
        peak_bytes=worst.peak_bytes,
        peak_reserved_bytes=worst.peak_reserved_bytes,
        effect=workers.finish(side),
    )


def _pairs(workers: Workers, subject: Subject, progress: Progress) -> tuple[list[StackPair], Drawings]:
    """Pairs in the order A B B A, until they are decided, and everything that was drawn for them."""
    sampling, watch = subject.case.sampling, watch_of(subject.device, lambda: workers.pids)
    pairs, counted, start = list[StackPair](), 0, time.monotonic()
    drawings: Drawings = {"there": [], "here": []}
    while counted < sampling.max_pairs and len(pairs) < 2 * sampling.max_pairs:
        watch.before()
        pair = _pair(workers, SIDES if len(pairs) % 2 == 0 else SIDES[::-1], drawings)
        pair.set_aside = watch.after()
        pairs.append(pair)
        counted += pair.set_aside is None
        check = speed_check(pairs, sampling, subject.thresholds.max_stack_slowdown)
        if len(pairs) % 5 == 0:
            progress.say(f"two stacks: pair {len(pairs)}, {check.outcome.lower()}")
        is_decided = counted >= sampling.min_pairs and check.outcome is not Outcome.INCONCLUSIVE
        if is_decided or (len(pairs) >= sampling.min_pairs and time.monotonic() - start > sampling.budget_s):
            break
    return pairs, drawings


def _pair(workers: Workers, order: tuple[Side, ...], drawings: Drawings) -> StackPair:
    calls, seconds = CALLS_A_TURN if workers.takes_turns else 1, dict[str, list[float]]()
    for side in order:
        drawn = [workers.draw(side) for _ in range(calls)]
        drawings[side] += drawn
        seconds[f"{side}_s"] = [each.latency_s for each in drawn]
    return StackPair.model_validate(seconds)


def _draw_all(workers: Workers, side: Side, subject: Subject, folder: Path) -> list[str]:
    """Every picture of the case, in its order; synthetic weights draw none worth comparing."""
    if subject.no_pictures is not None:
        return []
    folder.mkdir()
    numbers = range(len(batches(subject.case.generation)))
    return [file for number in numbers for file in workers.draw(side, number, folder=folder).files]


def _compare_pictures(files: Mapping[Side, list[str]], subject: Subject, report_folder: Path) -> Iterator[StackPicture]:
    """Both pictures of each request, judged by this environment's metrics and kept in the report folder."""
    if not files["there"]:
        return
    judge = subject.case.judge
    scorer = clip_scorer(judge_folder(judge)) if judge is not None else None
    for request, there, here in zip(requests(subject.case.generation), files["there"], files["here"], strict=True):
        pictures = {"there": _opened(there), "here": _opened(here)}
        names = {side: f"pictures/{subject.id}/{picture_name(request)}.{side}.png" for side in pictures}
        for side, picture in pictures.items():
            write_bytes(report_folder / names[side], encode_png(picture))
        clips = {side: scorer(picture, request.prompt) if scorer else None for side, picture in pictures.items()}
        yield StackPicture(
            prompt=request.prompt,
            seed=request.seed,
            height=request.height,
            width=request.width,
            tripwires=tripped(pictures["here"], pictures["there"], request),
            scores=next(iter(batch_scores([pictures["here"]], [pictures["there"]])), None),
            there_clip=clips["there"],
            here_clip=clips["here"],
            there_file=names["there"],
            here_file=names["here"],
        )


def _opened(file: str) -> "Image.Image":
    from PIL import Image

    with Image.open(file, formats=["PNG"]) as picture:
        picture.load()
        return picture
