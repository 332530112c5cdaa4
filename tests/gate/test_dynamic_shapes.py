"""Does another size compile anything, or another batch, prompt, guidance, number of steps or LoRA?"""

import pytest

from nearlossless.gates import judge_shapes
from nearlossless.plugin.fixtures import Concluding
from nearlossless.record.subject import SubjectRecord
from nearlossless.runs.selection import Subject


@pytest.mark.gate("shapes")
def test_dynamic_shapes(subject: Subject, sizes: SubjectRecord, gate: Concluding) -> None:
    """After warm-up, other sizes and requests and swapped LoRAs compile nothing and give the baseline's pictures."""
    verdict = gate(
        judge_shapes(
            sizes.sizes,
            subject.thresholds,
            sampling=subject.case.sampling,
            swaps=sizes.swaps,
            warmup=sizes.warmup,
            not_compared=subject.baseline_does_not_fit or subject.no_pictures,
            counts_compiles=sizes.saw_compiling or subject.recipe.transforms,
        )
    )
    assert verdict.is_pass, str(verdict)
