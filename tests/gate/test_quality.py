"""Is the picture still the same?"""

import pytest

from nearlossless.gates import judge_quality
from nearlossless.plugin.fixtures import Concluding
from nearlossless.record.subject import SubjectRecord
from nearlossless.runs.selection import Subject


@pytest.mark.gate("quality")
def test_quality(subject: Subject, pictures: SubjectRecord, gate: Concluding) -> None:
    """Every denoising step is as exact as the baseline's, and every picture matches the live and the stored one."""
    verdict = gate(
        judge_quality(
            pictures.pictures,
            subject.thresholds,
            pictures.parity,
            pictures.replay,
            noise=pictures.noise_floor,
            no_pictures=subject.no_pictures,
            baseline_does_not_fit=subject.baseline_does_not_fit,
        )
    )
    assert verdict.is_pass, str(verdict)
