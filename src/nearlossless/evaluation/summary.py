"""The record of an evaluation, from its results and its judge."""

import heapq
import sys
from importlib import metadata
from itertools import islice
from typing import Any

from nearlossless.environment import Fingerprint
from nearlossless.evaluation.figures import columns, quantiles, results_sha256
from nearlossless.evaluation.judging import Judge
from nearlossless.evaluation.preparing import Prepared
from nearlossless.evaluation.record import EvaluationRecord, Mean, PaceRecord, WorstPrompt
from nearlossless.evaluation.results import PromptResult, Status
from nearlossless.evaluation.store import WORST, Store
from nearlossless.record.verdicts import VerdictRecord
from nearlossless.runs.provenance import command
from nearlossless.sequential import Moments, mean_interval


def summarize(
    prepared: Prepared,
    store: Store,
    judge: Judge,
    fingerprint: Fingerprint,
    *,
    verdict: VerdictRecord,
    distances: dict[str, float],
    pace: PaceRecord,
    started: str,
) -> EvaluationRecord:
    """
    The record.

    Args:
        prepared: What was evaluated.
        store: Where the results lie; those that were not judged are left out.
        judge: At its end.
        fingerprint: Of the workers.
        verdict: With waivers in force.
        distances: Between sets.
        pace: Of this session.
        started: When this session began.
    """
    subject, reference = prepared.wanted.subject, prepared.reference_source
    return EvaluationRecord(
        nearlossless_version=metadata.version("nearlossless"),
        started=started,
        command=command(sys.argv),
        case=subject.case.name,
        recipe=subject.recipe_name,
        device=subject.device,
        width=subject.case.generation.width,
        height=subject.case.generation.height,
        prompts_source=prepared.prompts.source,
        prompts_sha256=prepared.prompts.sha256,
        prompts=len(prepared.prompts),
        verdict=verdict,
        distances=distances,
        reference=str(reference) if reference is not None else None,
        pace=pace,
        picture=fingerprint.picture.model_dump(mode="json"),
        stack=fingerprint.stack,
        **_of_judge(judge),
        **_of_results(store, judge),
    )


def _of_judge(judge: Judge) -> dict[str, Any]:
    share, told = judge.share_interval, judge.told
    return {
        "judged": judge.count,
        "stopped_early": judge.count < judge.total,
        "band": judge.thresholds.evaluation,
        "alpha": judge.alpha,
        "live": judge.thresholds.live,
        "max_clip_drop": judge.thresholds.max_clip_drop,
        "baseline_clip": _mean(judge.baseline_clip, judge.alpha),
        "compiled_clip": _mean(judge.compiled_clip, judge.alpha),
        "clip_drop": _mean(judge.drop, judge.alpha),
        "without_answer": dict(judge.without_answer),
        "off": judge.off,
        "share_off": Mean(mean=judge.off / told, low=share.low, high=share.high) if told else None,
    }


def _of_results(store: Store, judge: Judge) -> dict[str, Any]:
    """Of the prompts judged, whatever else was finished by then."""
    worst = heapq.nsmallest(WORST, islice(store.finished(), judge.count), key=lambda result: result.rank)
    return {
        "quantiles": quantiles(columns(islice(store.finished(), judge.count))),
        "worst": [_worst(result, store) for result in worst],
        "set_aside": [_worst(result, store) for result in judge.named if result.status is Status.SET_ASIDE],
        "results_sha256": results_sha256(islice(store.finished(with_features=True), judge.count)),
    }


def _mean(moments: Moments, alpha: float) -> Mean | None:
    if not moments.count:
        return None
    interval = mean_interval(moments, alpha=alpha)
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
        worst_tile_xywh=scores.worst_tile_xywh if scores else None,
        psnr_db=scores.psnr_db if scores else None,
        colour_difference=scores.worst_tile_colour_difference if scores else None,
        clip_drop=result.clip_drop,
        **files,
    )
