"""Is it really faster?"""

from typing import Any

import pytest

from nearlossless.gates import judge_speedup
from nearlossless.measuring import measure_speed, paired
from nearlossless.plugin import Concluding
from nearlossless.progress import Progress
from nearlossless.record import SubjectRecord
from nearlossless.selection import Subject


@pytest.mark.gate("speedup")
def test_speedup(
    subject: Subject,
    baseline_pipeline: Any,
    compiled_pipeline: Any,
    subject_record: SubjectRecord,
    progress: Progress,
    gate: Concluding,
) -> None:
    """The compiled pipeline is at least as many times as fast as the case asks, pair by pair, or fast enough alone."""
    subject_record.speeds = measure_speed(baseline_pipeline, compiled_pipeline, subject, progress)
    pairs, reason = paired(subject_record.speeds), subject.baseline_does_not_fit
    verdict = gate(judge_speedup(pairs, subject.case.sampling, subject.thresholds, baseline_does_not_fit=reason))
    assert verdict.is_pass, str(verdict)
