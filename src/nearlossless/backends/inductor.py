"""torch.compile by block: one compilation serves every repeated block, and dynamic shapes serve every size."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from nearlossless.backends import BackendError, check_triton, denoiser, find_compiler
from nearlossless.backends.blocks import repeated_blocks
from nearlossless.backends.compile_once import compile_once


def restructure(
    name: str, module: nn.Module, *, fuse_qkv: tuple[str, ...] = (), channels_last: tuple[str, ...] = ()
) -> None:
    """
    Change a component's structure in place, before it is quantized: quantized weights can no longer be fused.

    Args:
        name: The component's name.
        module: The component.
        fuse_qkv: Components whose attention is to compute queries, keys and values in one product.
        channels_last: Components whose convolutions are to run in channels-last order.

    Raises:
        BackendError: The component cannot be changed so.
    """
    from nearlossless.backends import restructuring

    if name in fuse_qkv:
        restructuring.fuse_qkv(module)
    if name in channels_last:
        restructuring.to_channels_last(module)


def compile_options(mode: str | None, config: Mapping[str, Any], *, dynamic: bool) -> dict[str, Any]:
    """
    What torch.compile takes as `options`, where it takes no `mode` beside it: a mode's own, with `config` on top.

    Raises:
        BackendError: Unknown mode.
    """
    from torch._inductor import list_mode_options

    modes = list_mode_options(dynamic=dynamic)
    if mode is not None and mode not in modes:
        raise BackendError(f"inductor: unknown mode '{mode}'; known are {', '.join(modes)}")
    return {**(modes[mode] if mode is not None else {}), **config}


def apply(
    pipeline: Any,
    *,
    components: tuple[str, ...] | None = None,
    dynamic: bool = True,
    by_block: bool = True,
    mode: str | None = None,
    config: Mapping[str, Any] | None = None,
    attention: Mapping[str, str] | None = None,
) -> Any:
    """
    Compile components of a pipeline in place; compilation itself happens at the first call.

    Args:
        pipeline: A diffusers pipeline whose `components` may be changed.
        components: Names of the modules to compile; None: the one that denoises.
        dynamic: Compile for any size at once.
        by_block: Compile the repeated blocks instead of the whole module.
        mode: torch.compile's mode.
        config: Inductor's settings on top of the mode's own, torch.compile's `options`.
        attention: Component -> torch's attention kernel for it: "cudnn", "flash", "efficient" or "math".

    Raises:
        BackendError: A component is missing, or an option is unknown.
        BackendUnavailable: There is no C++ compiler for CPU kernels, or no Triton for a GPU's.
    """
    # Of an offloaded pipeline, `device` is where its weights wait.
    if getattr(pipeline, "_execution_device", pipeline.device).type == "cpu":
        find_compiler()
    else:
        check_triton()
    options = compile_options(mode, config or {}, dynamic=dynamic)
    for name in components or (denoiser(pipeline),):
        module = _module(pipeline, name)
        for part in repeated_blocks(module) if by_block else [module]:
            compile_once(part, dynamic=dynamic, options=dict(options))
    for name, kernel in (attention or {}).items():
        from nearlossless.backends.restructuring import fix_attention

        fix_attention(_module(pipeline, name), kernel)
    return pipeline


def _module(pipeline: Any, name: str) -> nn.Module:
    module = getattr(pipeline, name, None)
    if not isinstance(module, nn.Module):
        raise BackendError(f"inductor: the pipeline has no module '{name}' to compile")
    return module
