"""A pipeline whose components compute in another process, which loads the miniature itself."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch

from nearlossless.cases.files import load_case
from nearlossless.parity.upcasting import map_tensors

BASELINES = Path(__file__).parents[3] / "baselines"
METHODS = {
    "text_encoder": "forward",
    "text_encoder_2": "forward",
    "text_encoder_3": "forward",
    "transformer": "forward",
    "vae": "decode",
}


@lru_cache(maxsize=1)
def _loaded() -> Any:
    from nearlossless.pipelines.loading import build_baseline

    return build_baseline(load_case(BASELINES / "miniature"), "cpu")


def _compute(component: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
    with torch.no_grad():
        return getattr(getattr(_loaded(), component), METHODS[component])(*arguments, **options)


def compute_in_other_process(pipeline: Any) -> Any:
    """The pipeline with its components' calls answered by a fresh process of as many threads."""
    pool = ProcessPoolExecutor(
        1,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=torch.set_num_threads,
        initargs=(torch.get_num_threads(),),
    )

    def call(component: str, *arguments: Any, **options: Any) -> Any:
        # A view would travel with all that it is a view of.
        arguments, options = map_tensors((arguments, options), torch.clone)
        return pool.submit(_compute, component, arguments, options).result()

    for component, method in METHODS.items():
        setattr(getattr(pipeline, component), method, partial(call, component))
    return pipeline
