"""Where a pipeline's weights wait and how its VAE decodes: device, CPU offload, tiling, slicing."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from nearlossless.cases.case import CaseError, Model, Offload


def place(pipeline: Any, model: Model, device: str) -> None:
    """
    Put a loaded pipeline on `device`, whole or offloaded, and switch its VAE as the case says.

    Raises:
        CaseError: The pipeline's VAE, or the pipeline itself, cannot do what the case asks for.
    """
    for name, is_wanted in (("tiling", model.vae_tiling), ("slicing", model.vae_slicing)):
        if is_wanted:
            _switch_vae(pipeline, name)
    if model.offload is None:
        pipeline.to(device)
        return
    try:
        _offload(pipeline, model.offload, device)
    except (ValueError, NotImplementedError) as error:
        raise CaseError(f"model.offload: {type(pipeline).__name__} cannot be offloaded: {error}") from None


def _switch_vae(pipeline: Any, name: str) -> None:
    vae = getattr(pipeline, "vae", None)
    try:
        getattr(vae, f"enable_{name}")()
    except (AttributeError, NotImplementedError):
        has = "has no VAE" if vae is None else f"has a {type(vae).__name__}, which cannot do that"
        raise CaseError(f"model.vae_{name}: the pipeline {has}; remove the key") from None


def _offload(pipeline: Any, offload: Offload, device: Any) -> None:
    if offload == "model":
        pipeline.enable_model_cpu_offload(device=device)
    else:
        pipeline.enable_sequential_cpu_offload(device=device)


def offload_of(pipeline: Any) -> Offload | None:
    """How a pipeline is offloaded, read from the hooks that accelerate put on its components."""
    from accelerate.hooks import CpuOffload

    parts = getattr(pipeline, "components", {}).values()
    hooks = [part._hf_hook for part in parts if hasattr(part, "_hf_hook")]
    if not hooks:
        return None
    return "model" if any(isinstance(hook, CpuOffload) for hook in hooks) else "sequential"


def bring_back(pipeline: Any) -> None:
    """Take offloaded components off the GPU, where a call that did not end left them, or one of a component alone."""
    if offload_of(pipeline) == "model":
        pipeline.maybe_free_model_hooks()


@contextmanager
def without_offload(pipeline: Any) -> Iterator[list[Any]]:
    """
    All weights on their modules while inside, where hooks had parted them; afterwards offloaded as before.

    Pipelines that are put into the yielded list are offloaded in the same way. Each has hooks of its own on the
    components of its own. On a shared component the hooks are the last pipeline's, which serves all: moving a shared
    weight moves it for every module that holds it, and each pipeline moves its own components back after a call.
    """
    offload, followers = offload_of(pipeline), list[Any]()
    if offload is None:
        yield followers
        return
    device = pipeline._execution_device
    pipeline.remove_all_hooks()
    try:
        yield followers
    finally:
        for each in (pipeline, *followers):
            _offload(each, offload, device)
