"""Is the picture still the same?"""

import pytest

from nearlossless.gates import judge_quality
from nearlossless.plugin import Concluding
from nearlossless.record import SubjectRecord
from nearlossless.selection import Subject


@pytest.mark.gate("quality")
def test_quality(subject: Subject, pictures: SubjectRecord, gate: Concluding) -> None:
    """Every picture matches the live baseline and the stored one, tile by tile, and follows its prompt as well."""
    reason = subject.baseline_does_not_fit
    verdict = gate(judge_quality(pictures.pictures, subject.thresholds, baseline_does_not_fit=reason))
    assert verdict.is_pass, str(verdict)
