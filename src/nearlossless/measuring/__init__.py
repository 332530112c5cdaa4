"""Measurements that need pipelines or processes of a subject; what they find is judged by `gates`."""

from functools import partial
from typing import Any

from nearlossless.cases import Case
from nearlossless.comparison import Draw
from nearlossless.pipelines.drawing import draw_batch


class BaselineError(Exception):
    """The baseline itself cannot be measured: nothing can be compared with it."""


def drawer(pipeline: Any, case: Case) -> Draw:
    """A function that draws batches of a case with a pipeline."""
    return partial(draw_batch, pipeline, case.generation)
