"""Is it really faster?"""

import pytest

from nearlossless.gates import judge_speedup
from nearlossless.measuring.speed import paired
from nearlossless.plugin.fixtures import Concluding
from nearlossless.record import Speeds
from nearlossless.selection import Subject


@pytest.mark.gate("speedup")
def test_speedup(subject: Subject, speeds: Speeds, gate: Concluding) -> None:
    """The compiled pipeline is at least as many times as fast as the case asks, pair by pair, or fast enough alone."""
    reason, sampling = subject.baseline_does_not_fit, subject.case.sampling
    verdict = gate(judge_speedup(paired(speeds), sampling, subject.thresholds, baseline_does_not_fit=reason))
    assert verdict.is_pass, str(verdict)
