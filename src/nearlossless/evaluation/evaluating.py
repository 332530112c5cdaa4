"""The whole of an evaluation: prompts in, results folder, verdict and record out."""

import heapq
import shlex
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from itertools import islice
from pathlib import Path

from nearlossless.cases import CaseError
from nearlossless.environment import Fingerprint
from nearlossless.evaluation.engines import Engine
from nearlossless.evaluation.figures import columns, features_of, quantiles, results_sha256
from nearlossless.evaluation.identity import RunIdentity, identity_of
from nearlossless.evaluation.judging import Judge
from nearlossless.evaluation.parquet import check_installed
from nearlossless.evaluation.prompts import PromptSet, read_prompts
from nearlossless.evaluation.record import (
    EvaluationRecord,
    Mean,
    PaceRecord,
    WorstPrompt,
    write_evaluation,
)
from nearlossless.evaluation.reference import Reference, distances, read_reference
from nearlossless.evaluation.results import PromptResult, Status
from nearlossless.evaluation.running import Pace, draw_missing
from nearlossless.evaluation.store import WORST, Store
from nearlossless.progress import Progress
from nearlossless.record import now
from nearlossless.report.evaluation import write_evaluation_page
from nearlossless.run import verdict_record
from nearlossless.selection import Subject
from nearlossless.sequential import Interval, Moments
from nearlossless.verdicts import Verdict
from nearlossless.waivers import waive


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is evaluated and how; None takes what the case says."""

    subject: Subject  # whose case draws one picture a call
    folder: Path
    prompts: str | None = None
    reference: Path | None = None
    features: str | None = None
    threads: int | None = None
    stop_early: bool = False

    @property
    def feature_folder(self) -> str | None:
        """Of the network that FID compares."""
        return self.features or self.subject.case.evaluation.features


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """What came out: the record, in which waivers are in force, and the verdict without them."""

    record: EvaluationRecord
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What was read before anything is loaded, so that no mistake shows after hours."""

    wanted: Wanted
    prompts: PromptSet
    reference: Reference | None
    identity: RunIdentity

    @property
    def reference_source(self) -> Path | None:
        """The file that other pictures' statistics came from."""
        return reference_path(self.wanted)


def reference_path(wanted: Wanted) -> Path | None:
    """The file of reference statistics, if there is one."""
    named = wanted.subject.case.evaluation.reference
    return wanted.reference or (Path(named).expanduser() if named is not None else None)


def prepare(wanted: Wanted) -> Prepared:
    """
    Read prompts and reference, and say what the run is.

    Raises:
        CaseError: One of them cannot be used; says which line and why.
        BackendUnavailable: What writes results is not installed.
    """
    check_installed()
    case = wanted.subject.case
    source = wanted.prompts or case.evaluation.prompts
    if source is None:
        raise CaseError(f"case '{case.name}' names no prompts: give --prompts FILE, or evaluation.prompts in case.toml")
    prompts, path = read_prompts(source, first_seed=case.generation.seeds[0]), reference_path(wanted)
    identity = identity_of(wanted.subject, prompts, features=wanted.feature_folder, threads=wanted.threads)
    return Prepared(
        wanted=wanted,
        prompts=prompts,
        reference=read_reference(path) if path is not None else None,
        identity=identity,
    )


def evaluate(
    prepared: Prepared, engine: Engine, progress: Progress, *, test: str = "nearlossless evaluate"
) -> Evaluated:
    """
    Draw what is missing, judge, and write `evaluation.json` and `report.html` into the results folder.

    Whatever ends it, results so far are kept, and the same call goes on from there.

    Args:
        prepared: What is evaluated.
        engine: Draws; is closed at the end.
        progress: Told how far it is.
        test: What asks, for the record.

    Raises:
        CaseError: The folder holds another run, or a pipeline cannot be built.
        BackendError, BackendUnavailable, BaselineError, BaselineChanged: As `build_drawer`.
    """
    started, wanted = now(), prepared.wanted
    try:
        with Store(wanted.folder, prepared.identity) as store:
            fingerprint = engine.start()
            store.confirm(fingerprint.picture.model_dump(mode="json"), fingerprint.stack)
            judge = new_judge(wanted.subject, fingerprint, len(prepared.prompts))
            pace = draw_missing(engine, store, prepared.prompts.prompts, judge, progress, stop_early=wanted.stop_early)
            progress.say("evaluation: distances between sets")
            found = _measured_distances(store, judge.count, prepared.reference)
            verdict = judge.verdict(found)
            waived = waive(verdict, wanted.subject.waivers, datetime.now(UTC).date())
            record = _record(prepared, store, judge, waived, found, fingerprint, pace, engine, started, test)
            write_evaluation(record, wanted.folder)
            write_evaluation_page(record, wanted.folder)
            return Evaluated(record=record, verdict=verdict)
    finally:
        engine.close()


def new_judge(subject: Subject, fingerprint: Fingerprint, total: int) -> Judge:
    """A judge of so many prompts, under what the case requires of the recipe where its workers run."""
    hardware = fingerprint.picture.hardware
    thresholds = subject.case.thresholds_for(
        subject.recipe_name if subject.is_named else None, subject.device, hardware
    )
    return Judge(thresholds=thresholds, alpha=subject.case.sampling.alpha, total=total)


def _measured_distances(store: Store, judged: int, reference: Reference | None) -> dict[str, float]:
    with features_of(store, judged) as found:
        networks = found["baseline_network"], found["compiled_network"]
        return distances(found["baseline_features"], found["compiled_features"], networks, reference)


def _record(
    prepared: Prepared,
    store: Store,
    judge: Judge,
    verdict: Verdict,
    found: dict[str, float],
    fingerprint: Fingerprint,
    pace: Pace,
    engine: Engine,
    started: str,
    test: str,
) -> EvaluationRecord:
    subject, reference = prepared.wanted.subject, prepared.reference_source
    share = judge.share_interval
    return EvaluationRecord(
        nearlossless_version=metadata.version("nearlossless"),
        started=started,
        command=shlex.join(Path(part).name if i == 0 else part for i, part in enumerate(sys.argv)),
        case=subject.case.name,
        recipe=subject.recipe_name,
        device=subject.device,
        prompts_source=prepared.prompts.source,
        prompts_sha256=prepared.prompts.sha256,
        prompts=len(prepared.prompts),
        judged=judge.count,
        stopped_early=judge.count < judge.total,
        verdict=verdict_record(verdict, test),
        band=judge.thresholds.evaluation,
        alpha=judge.alpha,
        baseline_clip=_mean(judge.baseline_clip, None),
        compiled_clip=_mean(judge.compiled_clip, judge.clip_interval),
        clip_drop=_mean(judge.drop, judge.drop_interval),
        off=judge.off,
        share_off=Mean(mean=judge.off / max(1, judge.count - judge.unknown), low=share.low, high=share.high),
        distances=found,
        reference=str(reference) if reference is not None else None,
        quantiles=quantiles(columns(islice(store.finished(), judge.count))),
        worst=[_worst(result, store) for result in _judged_worst(store, judge.count)],
        set_aside=[_worst(result, store) for result in judge.without_answer if result.status is Status.SET_ASIDE],
        results_sha256=results_sha256(islice(store.finished(with_features=True), judge.count)),
        pace=PaceRecord(prompts=pace.prompts, seconds=pace.seconds, workers=pace.workers, engine=type(engine).__name__),
        picture=fingerprint.picture.model_dump(mode="json"),
        stack=fingerprint.stack,
    )


def _judged_worst(store: Store, judged: int) -> list[PromptResult]:
    """Of the prompts judged, whatever else was finished by then."""
    return heapq.nsmallest(WORST, islice(store.finished(), judged), key=lambda result: result.rank)


def _mean(moments: Moments, interval: Interval | None) -> Mean | None:
    if not moments.count:
        return None
    interval = interval or Interval(moments.mean, moments.mean)
    return Mean(mean=moments.mean, low=interval.low, high=interval.high)


def _worst(result: PromptResult, store: Store) -> WorstPrompt:
    files = {
        f"{name}_file": store.picture(result.number, name).relative_to(store.folder).as_posix()
        for name in ("baseline", "recipe")
        if store.picture(result.number, name).exists()
    }
    scores = result.scores
    return WorstPrompt(
        number=result.number,
        line=result.line,
        prompt=result.prompt,
        seed=result.seed,
        status=result.status,
        problem=result.problem,
        worst_tile_ssim=scores.worst_tile_ssim if scores else None,
        psnr_db=scores.psnr_db if scores else None,
        colour_difference=scores.worst_tile_colour_difference if scores else None,
        clip_drop=result.clip_drop,
        **files,
    )
