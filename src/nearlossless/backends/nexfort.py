"""
nexfort, the compiler of OneDiff, by each of its three ways in.

`transform` replaces modules by nexfort's own, in place; `compile` wraps single components; `compile_pipe` wraps
what OneDiff knows of a whole pipeline. All are tried in a process of their own first: see `nexfort_probe`.
"""

import copy
from typing import Any

from torch import nn

from nearlossless.backends import BackendError, BackendUnavailable, denoiser, find_compiler
from nearlossless.backends.blocks import repeated_blocks
from nearlossless.backends.nexfort_probe import check, compile_task
from nearlossless.environment import onediff_variables

_imported_under: dict[str, str] | None = None


def claim_environment() -> None:
    """
    Hold this process to one set of OneDiff's environment variables: nexfort reads them at its import, never again.

    Raises:
        BackendUnavailable: It was imported under others.
    """
    global _imported_under  # noqa: PLW0603  # as global as the import itself
    variables = onediff_variables()
    if _imported_under is None:
        _imported_under = variables
    changed = {name for name in variables | _imported_under if variables.get(name) != _imported_under.get(name)}
    if changed:
        raise BackendUnavailable(
            f"nexfort was imported in this process with other values of {', '.join(sorted(changed))}; judge recipes"
            " whose environments differ in separate runs (--recipe)"
        )


def transform_module(module: nn.Module) -> nn.Module:
    """Replace submodules by nexfort's own; their weights are shared or new, never written into."""
    from nexfort.compilers import transform

    transformed: nn.Module = transform(module)
    return transformed


def compile_module(module: nn.Module, options: dict[str, Any]) -> nn.Module:
    """A wrapper that compiles the module at its first call; `options` are used up."""
    from onediff.infer_compiler import compile as onediff_compile

    unshare_layout(module, options.pop("memory_format", None))
    wrapped: nn.Module = onediff_compile(module, backend="nexfort", options=options)
    return wrapped


def compile_pipe(pipeline: Any, options: dict[str, Any], *, ignores: tuple[str, ...]) -> Any:
    """What OneDiff knows of a pipeline, wrapped; `options` are used up."""
    import onediffx

    for name, part in list(vars(pipeline).items()):
        if isinstance(part, nn.Module) and name not in ignores:
            unshare_layout(part, options.get("memory_format"))
    return onediffx.compile_pipe(pipeline, backend="nexfort", options=options, ignores=ignores)


def unshare_layout(module: nn.Module, memory_format: str | None) -> None:
    """
    Give a module convolution weights of its own in a memory format.

    OneDiff converts parameters in place, and these are the baseline's too.

    Raises:
        ValueError: There is no such format.
    """
    import torch

    if memory_format is None:
        return
    formats = {"channels_last": torch.channels_last, "contiguous_format": torch.contiguous_format}
    if memory_format not in formats:
        raise ValueError(f"memory_format '{memory_format}'; it is {' or '.join(formats)}")
    for part in module.modules():
        for name, weight in list(part.named_parameters(recurse=False)):
            if weight.dim() == 4:
                own = weight.detach().clone(memory_format=formats[memory_format])
                setattr(part, name, nn.Parameter(own, requires_grad=weight.requires_grad))


def _module(pipeline: Any, name: str) -> nn.Module:
    module = getattr(pipeline, name, None)
    if not isinstance(module, nn.Module):
        raise BackendError(f"nexfort: the pipeline has no module '{name}' to compile")
    return module


def apply(
    pipeline: Any,
    *,
    components: tuple[str, ...] | None = None,
    api: str = "compile",
    options: dict[str, Any] | None = None,
    by_block: bool = False,
    ignores: tuple[str, ...] = (),
) -> Any:
    """
    Hand components of a pipeline to nexfort; compilation itself happens at the first call.

    Args:
        pipeline: A diffusers pipeline whose `components` may be changed.
        components: Names of the modules; None: the one that denoises, or for `compile_pipe` all it knows.
        api: "transform", "compile" or "compile_pipe".
        options: OneDiff's own, as they are: `mode`, `dynamic`, `memory_format`, ...; left as it is.
        by_block: Let `compile` wrap the repeated blocks of a component instead of the whole.
        ignores: Components that `compile_pipe` leaves alone.

    Raises:
        BackendError: A component is missing, or an option is none.
        BackendUnavailable: nexfort cannot do this here; says what to install or set.
    """
    given = copy.deepcopy(options or {})
    task = compile_task(api, given, pipeline.device.type)
    if by_block and api != "compile":
        raise BackendError("nexfort: by_block belongs to api = 'compile'")
    if ignores and api != "compile_pipe":
        raise BackendError("nexfort: ignores belong to api = 'compile_pipe'; name components instead")
    if task.device == "cpu":
        find_compiler()
    check(task)
    claim_environment()
    if api == "compile_pipe":
        others = () if components is None else tuple(set(pipeline.components) - set(components))
        return compile_pipe(pipeline, given, ignores=(*ignores, *others))
    for name in components if components is not None else (denoiser(pipeline),):
        module = _module(pipeline, name)
        if api == "transform":
            setattr(pipeline, name, transform_module(module))
        elif by_block:
            _compile_blocks(module, given)
        else:
            setattr(pipeline, name, compile_module(module, copy.deepcopy(given)))
    return pipeline


def _compile_blocks(module: nn.Module, options: dict[str, Any]) -> None:
    names = {id(part): name for name, part in module.named_modules()}
    for block in repeated_blocks(module):
        if block is module:
            raise BackendError(f"nexfort: {type(module).__name__} has no repeated blocks; set by_block = false")
        parent, _, name = names[id(block)].rpartition(".")
        setattr(module.get_submodule(parent), name, compile_module(block, copy.deepcopy(options)))
