"""Every picture of a case, compared with the live baseline and with what is stored."""

from functools import partial
from pathlib import Path
from typing import Any

from nearlossless.baselines.comparison import Comparison, compare_pictures
from nearlossless.baselines.expected import CANDIDATES, EXPECTED
from nearlossless.environment import Fingerprint, hardware_folder
from nearlossless.measuring import baseline_drawer, drawer
from nearlossless.metrics.clip import clip_scorer, judge_folder
from nearlossless.pipelines.drawing import latents_sha256
from nearlossless.pipelines.requests import requests
from nearlossless.progress import Progress
from nearlossless.record.quality import PictureRecord
from nearlossless.runs.selection import Subject


def measure_pictures(
    baseline: Any | None,
    compiled: Any,
    subject: Subject,
    fingerprint: Fingerprint | None,
    progress: Progress,
    *,
    report_folder: Path,
    update: bool,
) -> tuple[list[PictureRecord], list[Path]]:
    """
    Compare all pictures of the case; with `update`, write candidates for the expected ones from the baseline.

    Without a baseline the stored pictures are compared alone, and no candidate is written.

    Returns:
        One record a picture, and the paths of the candidates.
    """
    assert fingerprint is not None
    case, candidates = subject.case, report_folder / CANDIDATES / subject.case.name
    comparison = Comparison(
        case=case,
        case_folder=subject.case_folder,
        identity=fingerprint.picture,
        scorer=clip_scorer(judge_folder(case.judge)) if case.judge is not None else None,
        report_folder=report_folder,
        prefix=f"pictures/{subject.id}",
        stack=fingerprint.stack,
        latents_sha256=partial(
            latents_sha256, baseline if baseline is not None else compiled, dtype=fingerprint.picture.dtype
        ),
        candidates=candidates / hardware_folder(fingerprint.picture.hardware, fingerprint.picture.dtype) / EXPECTED
        if update
        else None,
    )
    records, total = [], len(requests(case.generation))
    with progress.phase(f"pictures: 0 of {total}"):
        draw_baseline = baseline_drawer(baseline, case) if baseline is not None else None
        for record in compare_pictures(draw_baseline, drawer(compiled, case), comparison):
            records.append(record)
            progress.step("pictures", len(records), total)
    return records, comparison.written
