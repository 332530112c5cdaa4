"""Benign changes: other orders of the same arithmetic, other places to run it."""

import contextlib
import copy
import functools
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from tests.benchmarks.quality.changes import Change, Wrapped
from tests.benchmarks.quality.other_process import compute_in_other_process

from nearlossless.backends import inductor, restructuring
from nearlossless.environment import environment_variables
from nearlossless.parity.upcasting import map_tensors, upcast
from nearlossless.processes.environment import cache_environment
from nearlossless.torch_settings import restored_torch_settings


@functools.cache
def _kernel_cache() -> "tempfile.TemporaryDirectory[str]":
    """A folder that is empty for the cold start and primed for the warm one; gone with this process."""
    return tempfile.TemporaryDirectory(prefix="bench-quality-")


def repeated_run(pipeline: Any) -> Any:
    """Nothing is changed."""
    return pipeline


def compiled_by_block_cold(pipeline: Any) -> Any:
    """Torch.compile by block, dynamic shapes, empty caches."""
    return _compiled_with_cache(pipeline)


def compiled_by_block_warm(pipeline: Any) -> Any:
    """Torch.compile by block, dynamic shapes, from the caches that the cold start filled."""
    return _compiled_with_cache(pipeline)


def _compiled_with_cache(pipeline: Any) -> Any:
    variables = cache_environment(Path(_kernel_cache().name))
    return _under(inductor.apply(pipeline), lambda: environment_variables(variables))


def compiled_by_block_static(pipeline: Any) -> Any:
    """Torch.compile by block, static shapes."""
    return inductor.apply(pipeline, dynamic=False)


def compiled_whole_dynamic(pipeline: Any) -> Any:
    """Torch.compile of the whole transformer, dynamic shapes."""
    return inductor.apply(pipeline, by_block=False)


def compiled_whole_static(pipeline: Any) -> Any:
    """Torch.compile of the whole transformer, static shapes."""
    return inductor.apply(pipeline, by_block=False, dynamic=False)


def compiled_decoder(pipeline: Any) -> Any:
    """Torch.compile of the VAE's decoder."""
    return inductor.apply(pipeline, components=("vae",), dynamic=False)


def math_attention(pipeline: Any) -> Any:
    """Attention by torch's plain kernel."""
    restructuring.fix_attention(pipeline.transformer, "math")
    return pipeline


def flash_attention(pipeline: Any) -> Any:
    """Attention by torch's flash kernel, the other one that a CPU has."""
    restructuring.fix_attention(pipeline.transformer, "flash")
    return pipeline


def fused_projections(pipeline: Any) -> Any:
    """Queries, keys and values in one product."""
    restructuring.fuse_qkv(pipeline.transformer)
    return pipeline


def channels_last(pipeline: Any) -> Any:
    """The VAE's convolutions in channels-last order."""
    restructuring.to_channels_last(pipeline.vae)
    return pipeline


def guidance_in_two_calls(pipeline: Any) -> Any:
    """The transformer is called once with and once without the prompt instead of on a batch of both."""
    forward = pipeline.transformer.forward

    def halves(**options: Any) -> tuple[torch.Tensor]:
        half = len(options["hidden_states"]) // 2
        first = forward(**map_tensors(options, lambda tensor: tensor[:half]))
        second = forward(**map_tensors(options, lambda tensor: tensor[half:]))
        return (torch.cat([first[0], second[0]]),)

    pipeline.transformer.forward = halves
    return pipeline


def second_of_a_batch(pipeline: Any) -> Any:
    """Transformer and decoder are given each picture as the second of a batch, behind noise."""
    forward, decode = pipeline.transformer.forward, pipeline.vae.decode

    def behind_another(tensor: torch.Tensor) -> torch.Tensor:
        other = torch.randn(tensor.shape, generator=torch.Generator().manual_seed(0)).to(tensor)
        return torch.cat([other, tensor])

    def second(tensor: torch.Tensor) -> torch.Tensor:
        return tensor[len(tensor) // 2 :]

    def forward_second(*, timestep: torch.Tensor, **options: Any) -> Any:
        output = forward(timestep=torch.cat([timestep, timestep]), **map_tensors(options, behind_another))
        return map_tensors(output, second)

    pipeline.transformer.forward = forward_second
    pipeline.vae.decode = lambda latents, **options: map_tensors(decode(behind_another(latents), **options), second)
    return pipeline


def vae_slicing(pipeline: Any) -> Any:
    """A batch is decoded picture by picture."""
    pipeline.vae.enable_slicing()
    return pipeline


class _Under(Wrapped):
    """Draws under a setting."""

    def __init__(self, pipeline: Any, setting: Callable[[], AbstractContextManager[None]]) -> None:
        super().__init__(pipeline)
        self._setting = setting

    def __call__(self, **arguments: Any) -> Any:
        with self._setting():
            return super().__call__(**arguments)


def _under(pipeline: Any, setting: Callable[[], AbstractContextManager[None]]) -> Any:
    """The pipeline, and its transformer called alone, under a setting."""
    call = pipeline.transformer.forward

    def forward(*arguments: Any, **options: Any) -> Any:
        with setting():
            return call(*arguments, **options)

    pipeline.transformer.forward = forward
    return _Under(pipeline, setting)


def _torch_setting(change: Callable[[], None]) -> Callable[[], AbstractContextManager[None]]:
    @contextlib.contextmanager
    def setting() -> Iterator[None]:
        with restored_torch_settings():
            change()
            yield

    return setting


def one_thread(pipeline: Any) -> Any:
    """One thread."""
    return _under(pipeline, _torch_setting(lambda: torch.set_num_threads(1)))


def two_threads(pipeline: Any) -> Any:
    """Two threads."""
    return _under(pipeline, _torch_setting(lambda: torch.set_num_threads(2)))


def matmul_precision_high(pipeline: Any) -> Any:
    """Matrix products may use TF32, where the processor has it."""
    return _under(pipeline, _torch_setting(lambda: torch.set_float32_matmul_precision("high")))


def deterministic_algorithms(pipeline: Any) -> Any:
    """Torch's deterministic algorithms."""
    return _under(pipeline, _torch_setting(lambda: torch.use_deterministic_algorithms(True)))


def reloaded_weights(pipeline: Any) -> Any:
    """The weights were saved as safetensors and loaded again."""
    from nearlossless.pipelines.libraries import quiet_libraries

    with tempfile.TemporaryDirectory() as folder, quiet_libraries():
        pipeline.save_pretrained(folder, safe_serialization=True)
        reloaded = type(pipeline).from_pretrained(folder, torch_dtype=pipeline.dtype, local_files_only=True)
    reloaded.set_progress_bar_config(disable=True)
    return reloaded


def another_process(pipeline: Any) -> Any:
    """Text encoders, transformer and decoder compute in a process of their own."""
    return compute_in_other_process(pipeline)


def bfloat16_compiled(pipeline: Any) -> Any:
    """A bfloat16 transformer compiled by block."""
    return inductor.apply(pipeline)


def bfloat16_math_attention(pipeline: Any) -> Any:
    """A bfloat16 transformer with attention by torch's plain kernel."""
    return math_attention(pipeline)


def float32_beside_bfloat16(pipeline: Any) -> Any:
    """The transformer computes in float32, compiled, beside a bfloat16 baseline."""
    transformer = pipeline.transformer = copy.deepcopy(pipeline.transformer).float()  # in place: not on shared weights
    for block in transformer.transformer_blocks:
        block.compile(dynamic=True)
    forward = transformer.forward

    def upcast_call(*arguments: Any, **options: Any) -> Any:
        output = forward(*upcast(arguments, torch.float32), **upcast(options, torch.float32))
        return map_tensors(output, lambda tensor: tensor.to(torch.bfloat16))

    transformer.forward = upcast_call
    return pipeline


_SINGLE = (
    repeated_run,
    another_process,
    reloaded_weights,
    one_thread,
    two_threads,
    matmul_precision_high,
    deterministic_algorithms,
    math_attention,
    flash_attention,
    fused_projections,
    channels_last,
    guidance_in_two_calls,
    second_of_a_batch,
)
_COMPILED = (
    compiled_by_block_cold,
    compiled_by_block_warm,
    compiled_by_block_static,
    compiled_whole_dynamic,
    compiled_whole_static,
    compiled_decoder,
)
BENIGN = (
    *(Change(apply=change) for change in _SINGLE),
    *(Change(apply=change, compiles=True) for change in _COMPILED),
    Change(apply=vae_slicing, batch_size=2),
    Change(apply=bfloat16_compiled, dtype="bfloat16", compiles=True),
    Change(apply=bfloat16_math_attention, dtype="bfloat16"),
    Change(apply=float32_beside_bfloat16, dtype="bfloat16", compiles=True),
)
