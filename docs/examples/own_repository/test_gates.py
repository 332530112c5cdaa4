import pytest

from nearlossless.gates import judge_quality, judge_speedup


@pytest.mark.gate("speedup")
def test_speedup(subject, speeds, gate):
    verdict = gate(judge_speedup(speeds.runs, subject.case.sampling, subject.thresholds, accepted=speeds.accepted))
    assert verdict.is_pass, str(verdict)


@pytest.mark.gate("quality")
def test_quality(subject, pictures, gate):
    verdict = gate(judge_quality(pictures.pictures, subject.thresholds, pictures.parity, pictures.replay))
    assert verdict.is_pass, str(verdict)
