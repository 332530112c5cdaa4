import pytest

from nearlossless.gates import judge_quality, judge_speedup
from nearlossless.measuring.speed import paired


@pytest.mark.gate("speedup")
def test_speedup(subject, speeds, gate):
    verdict = gate(judge_speedup(paired(speeds), subject.case.sampling, subject.thresholds, accepted=speeds.accepted))
    assert verdict.is_pass, str(verdict)


@pytest.mark.gate("quality")
def test_quality(subject, pictures, gate):
    verdict = gate(judge_quality(pictures.pictures, subject.thresholds, pictures.parity, pictures.replay))
    assert verdict.is_pass, str(verdict)
