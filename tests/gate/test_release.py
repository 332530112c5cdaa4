"""Is the picture still the same over thousands of prompts?"""

import pytest

from nearlossless.plugin.fixtures import Concluding
from nearlossless.runs.selection import Subject
from nearlossless.verdicts import Verdict


@pytest.mark.release
@pytest.mark.gate("evaluation")
def test_release(subject: Subject, evaluation: Verdict, gate: Concluding) -> None:
    """Over the whole list of prompts CLIP scores hold, and few pictures leave their band."""
    verdict = gate(evaluation)
    assert verdict.is_pass, str(verdict)
