"""Is this software stack slower than another, does it need more memory, does it draw differently?"""

import pytest

from nearlossless.gates import judge_stack_memory, judge_stack_pictures, judge_stack_speed
from nearlossless.plugin.fixtures import Concluding
from nearlossless.runs.selection import Subject
from nearlossless.stacks.results import StackComparison


@pytest.mark.gate("stack-speed")
def test_stack_speed(subject: Subject, other_stack: StackComparison, gate: Concluding) -> None:
    """The recipe runs about as fast here as in the other environment, pair by pair."""
    verdict = gate(judge_stack_speed(other_stack, subject.case.sampling, subject.thresholds))
    assert verdict.is_pass, str(verdict)


@pytest.mark.gate("stack-memory")
def test_stack_memory(subject: Subject, other_stack: StackComparison, gate: Concluding) -> None:
    """The recipe's steady peak here is about that in the other environment."""
    verdict = gate(judge_stack_memory(other_stack, subject.thresholds))
    assert verdict.is_pass, str(verdict)


@pytest.mark.gate("stack-pictures")
def test_stack_pictures(subject: Subject, other_stack: StackComparison, gate: Concluding) -> None:
    """Every picture drawn here is the other environment's, within the band of drift."""
    verdict = gate(judge_stack_pictures(other_stack, subject.thresholds, no_pictures=subject.no_pictures))
    assert verdict.is_pass, str(verdict)
