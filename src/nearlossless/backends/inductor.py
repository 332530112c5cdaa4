"""torch.compile by block: one compilation serves every repeated block, and dynamic shapes serve every size."""

from typing import Any

from torch import nn

from nearlossless.backends import BackendError, check_triton, find_compiler


def repeated_blocks(module: nn.Module) -> list[nn.Module]:
    """The blocks in the module's own ModuleLists, or an autoencoder's decoder, or else the module itself."""
    decoder = getattr(module, "decoder", None)
    if isinstance(decoder, nn.Module):  # pipelines call an autoencoder's decode(), never its forward()
        return [decoder]
    lists = [child for child in module.children() if isinstance(child, nn.ModuleList)]
    return [block for blocks in lists for block in blocks] or [module]


def apply(
    pipeline: Any,
    *,
    components: tuple[str, ...] = ("transformer",),
    dynamic: bool = True,
    by_block: bool = True,
    mode: str | None = None,
) -> Any:
    """
    Compile components of a pipeline in place; compilation itself happens at the first call.

    Args:
        pipeline: A diffusers pipeline whose `components` may be changed.
        components: Names of the modules to compile.
        dynamic: Compile for any size at once.
        by_block: Compile the repeated blocks instead of the whole module.
        mode: torch.compile's mode.

    Raises:
        BackendError: A component is missing.
        BackendUnavailable: There is no C++ compiler for CPU kernels, or no Triton for a GPU's.
    """
    # Of an offloaded pipeline, `device` is where its weights wait.
    if getattr(pipeline, "_execution_device", pipeline.device).type == "cpu":
        find_compiler()
    else:
        check_triton()
    for name in components:
        module = getattr(pipeline, name, None)
        if not isinstance(module, nn.Module):
            raise BackendError(f"inductor: the pipeline has no module '{name}' to compile")
        for part in repeated_blocks(module) if by_block else [module]:
            part.compile(dynamic=dynamic, mode=mode)
    return pipeline
