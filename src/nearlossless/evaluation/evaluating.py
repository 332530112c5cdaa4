"""The whole of an evaluation: prompts in, results folder, verdict and record out."""

from dataclasses import dataclass
from datetime import UTC, datetime

from nearlossless.cases.waivers import waive
from nearlossless.environment import Fingerprint
from nearlossless.evaluation.engines import Engine
from nearlossless.evaluation.figures import features_of
from nearlossless.evaluation.judging import Judge
from nearlossless.evaluation.preparing import Prepared, check_bands
from nearlossless.evaluation.record import EvaluationRecord, PaceRecord, forget_evaluation, write_evaluation
from nearlossless.evaluation.reference import Reference, distances
from nearlossless.evaluation.running import draw_missing
from nearlossless.evaluation.store import Store
from nearlossless.evaluation.summary import summarize
from nearlossless.progress import Progress
from nearlossless.record import now
from nearlossless.report.evaluation import write_evaluation_page
from nearlossless.runs.run import verdict_record
from nearlossless.runs.selection import Subject
from nearlossless.verdicts import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """What came out: the record, in which waivers are in force, and the verdict without them."""

    record: EvaluationRecord
    verdict: Verdict


def evaluate(
    prepared: Prepared, engine: Engine, progress: Progress, *, test: str = "nearlossless evaluate"
) -> Evaluated:
    """
    Draw what is missing, judge, and write `report.html` and `evaluation.json` into the results folder.

    Whatever ends it, results so far are kept, and the same call goes on from there.

    Args:
        prepared: What is evaluated.
        engine: Draws; is closed at the end.
        progress: Told how far it is.
        test: What asks, for the record.

    Raises:
        CaseError: The folder holds another run, a pipeline cannot be built, or a band could not be judged or fail.
        BackendError, BackendUnavailable, BaselineError, BaselineChanged: As `build_drawer`.
    """
    started, wanted = now(), prepared.wanted
    try:
        with Store(wanted.folder, prepared.identity) as store:
            fingerprint = engine.start()
            store.confirm(fingerprint.picture.model_dump(mode="json"), fingerprint.stack)
            judge = new_judge(wanted.subject, fingerprint, len(prepared.prompts))
            check_bands(prepared, judge.thresholds.evaluation)
            if store.count < len(prepared.prompts):
                forget_evaluation(wanted.folder)
            pace = draw_missing(engine, store, prepared.prompts, judge, progress, stop_early=wanted.stop_early)
            progress.say("evaluation: distances between sets")
            found = _measured_distances(store, judge.count, prepared.reference)
            verdict = judge.verdict(found)
            waived = waive(verdict, wanted.subject.waivers, datetime.now(UTC).date())
            record = summarize(
                prepared,
                store,
                judge,
                fingerprint,
                verdict=verdict_record(waived, test),
                distances=found,
                pace=PaceRecord(
                    prompts=pace.prompts, seconds=pace.seconds, workers=pace.workers, engine=type(engine).__name__
                ),
                started=started,
            )
            write_evaluation_page(record, wanted.folder)
            write_evaluation(record, wanted.folder)  # last: a folder that has it is finished
            return Evaluated(record=record, verdict=verdict)
    finally:
        engine.close()


def new_judge(subject: Subject, fingerprint: Fingerprint, total: int) -> Judge:
    """A judge of so many prompts, under what the case requires of the recipe where its workers run."""
    thresholds = subject.thresholds_on(fingerprint.picture.hardware)
    return Judge(thresholds=thresholds, alpha=subject.case.sampling.alpha, total=total)


def _measured_distances(store: Store, judged: int, reference: Reference | None) -> dict[str, float]:
    with features_of(store, judged) as found:
        networks = found["baseline_network"], found["compiled_network"]
        return distances(found["baseline_features"], found["compiled_features"], networks, reference)
