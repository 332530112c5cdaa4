"""Of the replay inside the quality gate."""

from typing import Any

import pytest
from tests.scores import scores
from tests.unit.gates.records import QUALITY, replayed

from nearlossless.record.quality import InputError
from nearlossless.verdicts import Outcome


@pytest.mark.parametrize(("kind", "allowed"), [("timestep", 0.125), ("latents", 0.125), ("conditioning", 2.0)])
def test_replay_turns_at_what_rounding_explains(kind: str, allowed: float) -> None:
    """A timestep may be off by one unit of rounding, latents by what twelve calls add up to, embeddings by sixteen."""
    errors = [InputError(name="x", call=3, error=allowed * factor) for factor in (1.0, 1.001)]
    green, red = (replayed(errors={kind: error}) for error in errors)
    assert (green.outcome, red.outcome) == (Outcome.PASS, Outcome.REGRESSION)
    assert "call 3" in red.reason


@pytest.mark.parametrize(("error", "outcome"), [(0.03, Outcome.PASS), (0.0301, Outcome.REGRESSION)])
def test_embeddings_of_quantized_encoders_have_a_ceiling_of_their_own(error: float, outcome: Outcome) -> None:
    """`max_embedding_error` takes the place of the encoders' rounding."""
    thresholds = QUALITY.model_copy(update={"max_embedding_error": 0.03})
    errors = {"conditioning": InputError(name="x", call=1, error=error)}
    assert replayed(thresholds, errors=errors).outcome is outcome


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"pictures": [scores(0.99)]}, Outcome.PASS),
        ({"pictures": [scores(0.9899)]}, Outcome.REGRESSION),
        ({"pictures": []}, Outcome.NOT_COMPARABLE),
        ({"calls": 11}, Outcome.REGRESSION),
        ({"calls": 13}, Outcome.REGRESSION),
        ({"unlike": "call 1: timestep: absent"}, Outcome.REGRESSION),
        ({"tripwires": ["black"]}, Outcome.REGRESSION),
        ({"problem": "nothing to stand in for"}, Outcome.NOT_COMPARABLE),
        ({"baseline_calls": 0}, Outcome.NOT_COMPARABLE),
        ({"not_applicable": "skips steps"}, Outcome.PASS),
    ],
)
def test_replay_is_judged_by_each_of_its_findings(changes: dict[str, Any], outcome: Outcome) -> None:
    """Other steps, inputs or pictures are regressions, and a replay that was not made is not green."""
    assert replayed(**changes).outcome is outcome
