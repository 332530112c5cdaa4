"""Benign changes: other ways to draw the same pictures, none of which is wrong."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nearlossless.backends import denoiser
from nearlossless.baselines.comparison import Draw
from nearlossless.cases.case import Case
from nearlossless.cases.recipes import INDUCTOR, Recipe
from nearlossless.environment import environment_variables
from nearlossless.fields import Device
from nearlossless.measuring import drawer
from nearlossless.pipelines.compiling import build_compiled
from nearlossless.pipelines.requests import Request
from nearlossless.processes.environment import cache_environment
from nearlossless.torch_settings import restored_torch_settings

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True, slots=True)
class Benign:
    """A name, and a function that draws a batch as the baseline does, changed."""

    name: str
    draw: Draw


def benign_changes(baseline: Any, case: Case, device: Device, cache: Path) -> Iterator[Benign]:
    """
    What an upgrade, another machine or a compiler may do: attention kernels, precision, threads, batches, compilation.

    Args:
        baseline: Draws in every change but the compiled ones, which share its weights.
        case: What is drawn.
        device: Which settings there are to change.
        cache: Empty folder for compiled kernels; the second compilation finds those of the first.
    """
    draw = drawer(baseline, case)
    yield Benign("second in a batch", partial(_behind_another, draw))
    for name, setting in _settings(device):
        yield Benign(name, partial(_under, setting, draw))
    for name in ("torch.compile, empty cache", "torch.compile, primed cache"):
        yield Benign(name, partial(_compiled, {}, baseline, case, cache))


def _behind_another(draw: Draw, batch: Sequence[Request]) -> "list[Image.Image]":
    other = replace(batch[0], seed=batch[0].seed + 1)
    return draw([other, *batch])[1:]


def _under(
    setting: Callable[[], AbstractContextManager[Any]], draw: Draw, batch: Sequence[Request]
) -> "list[Image.Image]":
    with restored_torch_settings(), setting():
        return draw(batch)


def _compiled(
    kept: dict[str, Any], baseline: Any, case: Case, cache: Path, batch: Sequence[Request]
) -> "list[Image.Image]":
    """Compiled at the first batch, so that the second compilation starts when the caches are primed."""
    import torch

    with environment_variables(cache_environment(cache)):
        if not kept:
            torch.compiler.reset()
            kept["pipeline"] = build_compiled(baseline, Recipe(backend=INDUCTOR, touches=(denoiser(baseline),)))
        return drawer(kept["pipeline"], case)(batch)


def _settings(device: Device) -> Iterator[tuple[str, Callable[[], AbstractContextManager[Any]]]]:
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel

    kernels = {"math": SDPBackend.MATH, "flash": SDPBackend.FLASH_ATTENTION}
    if device == "cuda":
        kernels |= {"memory-efficient": SDPBackend.EFFICIENT_ATTENTION, "cuDNN": SDPBackend.CUDNN_ATTENTION}
    for name, kernel in kernels.items():
        # Not every attention of a pipeline is one that the kernel knows: those are computed plainly.
        yield f"attention by {name}", partial(sdpa_kernel, [kernel, SDPBackend.MATH])
    if device == "cpu":
        threads = 1 if torch.get_num_threads() > 1 else 2
        yield f"{threads} thread{'s' * (threads > 1)}", partial(_set, partial(torch.set_num_threads, threads))
        return
    for precision in ("highest", "high"):
        change = partial(torch.set_float32_matmul_precision, precision)
        yield f"float32 products at '{precision}' precision", partial(_set, change)
    yield "no reduced-precision sums", partial(_set, _full_sums)


@contextmanager
def _set(change: Callable[[], object]) -> Iterator[None]:
    """Whoever sets it puts it back: `_under` restores all of torch's settings."""
    change()
    yield


def _full_sums() -> None:
    import torch

    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
