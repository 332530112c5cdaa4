"""The five questions: what was measured, held against a case's thresholds, gives a verdict. Pure, like `verdicts`."""

from nearlossless.gates.memory import GIB, judge_memory
from nearlossless.gates.parity import PARITY, is_parity_regression, parity_checks
from nearlossless.gates.quality import judge_quality
from nearlossless.gates.replay import replay_checks
from nearlossless.gates.shapes import judge_shapes
from nearlossless.gates.speedup import judge_speedup
from nearlossless.gates.startup import judge_startup

__all__ = [
    "GIB",
    "PARITY",
    "is_parity_regression",
    "judge_memory",
    "judge_quality",
    "judge_shapes",
    "judge_speedup",
    "judge_startup",
    "parity_checks",
    "replay_checks",
]
