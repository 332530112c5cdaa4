"""Does it start in time, cold and warm?"""

import pytest

from nearlossless.gates import judge_startup
from nearlossless.measuring.fresh_processes import ProcessRuns
from nearlossless.plugin.fixtures import Concluding
from nearlossless.runs.selection import Subject


@pytest.mark.gate("startup")
def test_startup(subject: Subject, process_runs: ProcessRuns, gate: Concluding) -> None:
    """A cold start stays below its ceiling; primed caches make the first call shorter, and nothing compiles anew."""
    runs = process_runs
    verdict = gate(judge_startup(runs.cold, runs.warm, subject.thresholds, artifact=runs.artifact))
    assert verdict.is_pass, str(verdict)
