"""
A backend that is faster and wrong: it leaves one transformer block out.

Try it: `PYTHONPATH=docs/examples pytest tests/gate --case miniature --backend skip_a_block:apply -m "not gpu"`
"""

from typing import Any

from torch import nn


def apply(pipeline: Any, *, block: int = 2) -> Any:
    """Drop one block of the transformer. `pipeline` is ours to change: its components are copies."""
    blocks = list(pipeline.transformer.transformer_blocks)
    pipeline.transformer.transformer_blocks = nn.ModuleList(blocks[:block] + blocks[block + 1 :])
    return pipeline
