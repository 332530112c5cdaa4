"""Measurements that need pipelines or processes of a subject; what they find is judged by `gates`."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from nearlossless.backends import BackendError
from nearlossless.cases.case import Case
from nearlossless.pipelines.drawing import draw_batch
from nearlossless.pipelines.requests import Request

if TYPE_CHECKING:
    from PIL import Image

    from nearlossless.baselines.comparison import Draw


class BaselineError(Exception):
    """The baseline itself cannot be measured: nothing can be compared with it."""


def draw_baseline(pipeline: Any, case: Case, batch: Sequence[Request], **options: Any) -> "list[Image.Image]":
    """As `draw_batch`, for the baseline: what fails there is no fault of a recipe's and raises BaselineError."""
    try:
        return draw_batch(pipeline, case.generation, batch, **options)
    except BackendError as error:
        raise BaselineError(f"the baseline does not draw: {error}") from error


def baseline_drawer(pipeline: Any, case: Case) -> "Draw":
    """As `drawer`, for the baseline; raises what `draw_baseline` raises."""
    return partial(draw_baseline, pipeline, case)


def drawer(pipeline: Any, case: Case) -> "Draw":
    """A function that draws batches of a case with a pipeline."""
    return partial(draw_batch, pipeline, case.generation)
