"""Does it start in time, cold and warm?"""

import pytest

from nearlossless.gates import judge_startup
from nearlossless.measuring.fresh_processes import ProcessRuns
from nearlossless.plugin.fixtures import Concluding
from nearlossless.selection import Subject


@pytest.mark.gate("startup")
def test_startup(subject: Subject, process_runs: ProcessRuns, gate: Concluding) -> None:
    """A cold start stays below its ceiling, and primed caches make the first call shorter."""
    verdict = gate(judge_startup(process_runs.cold, process_runs.warm, subject.thresholds))
    assert verdict.is_pass, str(verdict)
