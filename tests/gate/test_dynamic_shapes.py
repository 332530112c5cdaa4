"""Does another size compile anything, or another LoRA?"""

from typing import Any

import pytest

from nearlossless.gates import judge_shapes
from nearlossless.measuring import cycle_sizes
from nearlossless.plugin import Concluding
from nearlossless.progress import Progress
from nearlossless.record import SubjectRecord
from nearlossless.selection import Subject
from nearlossless.swapping import swap_loras


@pytest.mark.gate("shapes")
def test_dynamic_shapes(
    subject: Subject,
    baseline_pipeline: Any,
    compiled_pipeline: Any,
    subject_record: SubjectRecord,
    progress: Progress,
    gate: Concluding,
) -> None:
    """After warm-up, other sizes and swapped LoRAs compile nothing and give the baseline's pictures."""
    subject_record.sizes = cycle_sizes(baseline_pipeline, compiled_pipeline, subject, progress)
    subject_record.swaps = swap_loras(baseline_pipeline, compiled_pipeline, subject, progress)
    verdict = gate(
        judge_shapes(
            subject_record.sizes,
            subject.thresholds,
            swaps=subject_record.swaps,
            baseline_does_not_fit=subject.baseline_does_not_fit,
        )
    )
    assert verdict.is_pass, str(verdict)
