"""Does it still fit?"""

import pytest

from nearlossless.gates import judge_memory
from nearlossless.measuring.fresh_processes import ProcessRuns
from nearlossless.plugin.fixtures import Concluding
from nearlossless.runs.selection import Subject


@pytest.mark.gate("memory")
def test_memory(subject: Subject, process_runs: ProcessRuns, gate: Concluding) -> None:
    """The compiled pipeline's steady peak, alone in a fresh process, stays within its budgets."""
    reason = subject.baseline_does_not_fit
    runs, thresholds = process_runs, subject.thresholds
    verdict = gate(judge_memory(runs.baseline, runs.cold, thresholds, baseline_does_not_fit=reason))
    assert verdict.is_pass, str(verdict)
