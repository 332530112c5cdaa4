"""Does it still fit?"""

import pytest

from nearlossless.gates import judge_memory
from nearlossless.measuring import ProcessRuns
from nearlossless.plugin import Concluding
from nearlossless.selection import Subject


@pytest.mark.gate("memory")
def test_memory(subject: Subject, process_runs: ProcessRuns, gate: Concluding) -> None:
    """The compiled pipeline's steady peak, alone in a fresh process, stays within its budgets."""
    verdict = gate(judge_memory(process_runs.baseline, process_runs.cold, subject.thresholds))
    assert verdict.is_pass, str(verdict)
