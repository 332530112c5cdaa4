"""Does another size compile anything?"""

from typing import Any

import pytest

from nearlossless.gates import judge_shapes
from nearlossless.measuring import cycle_sizes
from nearlossless.plugin import Concluding
from nearlossless.progress import Progress
from nearlossless.record import SubjectRecord
from nearlossless.selection import Subject


@pytest.mark.gate("shapes")
def test_dynamic_shapes(
    subject: Subject,
    baseline_pipeline: Any,
    compiled_pipeline: Any,
    subject_record: SubjectRecord,
    progress: Progress,
    gate: Concluding,
) -> None:
    """After warm-up, cycling through the case's sizes compiles nothing and draws what the baseline draws."""
    subject_record.sizes = cycle_sizes(baseline_pipeline, compiled_pipeline, subject, progress)
    sizes, reason = subject_record.sizes, subject.baseline_does_not_fit
    verdict = gate(judge_shapes(sizes, subject.thresholds, baseline_does_not_fit=reason))
    assert verdict.is_pass, str(verdict)
