"""A pipeline whose work is done in another process, which loads the miniature itself."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from PIL import Image
from tests.benchmarks.quality.changes import Wrapped

from nearlossless.case_files import load_case
from nearlossless.upcasting import map_tensors

BASELINES = Path(__file__).parents[3] / "baselines"


@lru_cache(maxsize=1)
def _loaded() -> Any:
    from nearlossless.pipelines.loading import build_baseline

    return build_baseline(load_case(BASELINES / "miniature"), "cpu")


def _draw(seed: int, arguments: dict[str, Any]) -> list[Image.Image]:
    images: list[Image.Image] = _loaded()(**arguments, generator=torch.Generator("cpu").manual_seed(seed)).images
    return images


def _denoise(options: dict[str, Any]) -> torch.Tensor:
    with torch.no_grad():
        output: torch.Tensor = _loaded().transformer(**options)[0]
    return output.clone()


class _Remote(Wrapped):
    """Draws in the other process."""

    def __init__(self, pipeline: Any, pool: ProcessPoolExecutor) -> None:
        super().__init__(pipeline)
        self._pool = pool

    def __call__(self, **arguments: Any) -> Any:
        seed = arguments.pop("generator").initial_seed()
        return SimpleNamespace(images=self._pool.submit(_draw, seed, arguments).result())


def in_other_process(pipeline: Any) -> Any:
    """The pipeline with its calls, and its transformer's, answered by a fresh process of as many threads."""
    pool = ProcessPoolExecutor(
        1,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=torch.set_num_threads,
        initargs=(torch.get_num_threads(),),
    )

    def forward(**options: Any) -> tuple[torch.Tensor]:
        return (pool.submit(_denoise, map_tensors(options, torch.Tensor.contiguous)).result(),)

    pipeline.transformer.forward = forward
    return _Remote(pipeline, pool)
