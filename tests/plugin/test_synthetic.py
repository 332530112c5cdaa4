"""A shrunken SD3.5-Large with synthetic weights through all gates: step parity judges in place of pictures."""

import pytest
from tests.plugin.inner import InnerRun, MakeWorkspace, case_toml
from tests.shrinking import shrink

from nearlossless.fields import GATES
from nearlossless.verdicts import EXIT_REGRESSION, Outcome

pytestmark = pytest.mark.slow

RECIPES = {
    "identity": 'backend = "planted_backends:identity"',
    "attention_off": 'backend = "planted_backends:attention_off"',
}


@pytest.fixture(scope="module")
def run(make_workspace: MakeWorkspace) -> InnerRun:
    """All gates on the pipeline as it is, and on one whose attention is 2 % off."""
    workspace = make_workspace("synthetic")
    folder = shrink("sd35-large", workspace.folder)
    content = case_toml(RECIPES).replace('source = "miniature"', f'source = "{folder}"\nweights = "synthetic"')
    workspace.add_case(content.replace("max_sequence_length = 16\n", ""))
    return workspace.run()


def test_all_gates_judge_synthetic_weights(run: InnerRun) -> None:
    """Speed, memory, shapes and start-up are measured as ever, and quality by step parity alone, which it says."""
    assert {gate: run.verdict(gate, "identity").outcome for gate in GATES} == dict.fromkeys(GATES, Outcome.PASS)
    assert "pictures: not applicable, synthetic weights" in run.verdict("quality", "identity").reason
    assert run.subject("identity").pictures == []


def test_fingerprint_names_the_synthetic_weights(run: InnerRun) -> None:
    """Pictures and times of synthetic weights are never taken for those of trained ones."""
    fingerprint = run.subject("identity").fingerprint
    assert fingerprint is not None
    assert fingerprint.picture.weights.startswith("synthetic:")


def test_step_parity_alone_turns_red(run: InnerRun) -> None:
    """An attention that is 2 % off in one block is a regression of quality, and the block is named."""
    verdict = run.verdict("quality", "attention_off")
    assert (run.code, verdict.outcome) == (EXIT_REGRESSION, Outcome.REGRESSION)
    assert "transformer_blocks.2" in verdict.reason
