"""Is it really faster?"""

import pytest

from nearlossless.gates import judge_speedup
from nearlossless.plugin.fixtures import Concluding
from nearlossless.record.speed import Speeds
from nearlossless.runs.selection import Subject


@pytest.mark.gate("speedup")
def test_speedup(subject: Subject, speeds: Speeds, gate: Concluding) -> None:
    """The compiled pipeline is at least as many times as fast as the case asks, pair by pair, or fast enough alone."""
    verdict = gate(
        judge_speedup(
            speeds.runs,
            subject.case.sampling,
            subject.thresholds,
            accepted=speeds.accepted,
            phases=speeds.phase_speedups,
            baseline_does_not_fit=subject.baseline_does_not_fit,
        )
    )
    assert verdict.is_pass, str(verdict)
