"""torch.compile by block: one compilation serves every repeated block, and dynamic shapes serve every size."""

from typing import Any

from torch import nn

from nearlossless.backends import BackendError, check_triton, denoiser, find_compiler


def repeated_blocks(module: nn.Module) -> list[nn.Module]:
    """
    What is compiled of a module: an autoencoder's decoder, or its repeated blocks, or else the module itself.

    Blocks are those that diffusers names for the class, or else the members of the module's own ModuleLists. Of a UNet
    they are the transformer blocks, which come in few widths. Its resnets do not: nearly each is a shape of its own,
    and more variants of one forward() than Dynamo compiles would silently run as they are.
    """
    decoder = getattr(module, "decoder", None)
    if isinstance(decoder, nn.Module):  # pipelines call an autoencoder's decode(), never its forward()
        return [decoder]
    named = getattr(module, "_repeated_blocks", None)
    if named and (blocks := [part for part in module.modules() if type(part).__name__ in named]):
        return blocks
    lists = [child for child in module.children() if isinstance(child, nn.ModuleList)]
    return [block for blocks in lists for block in blocks] or [module]


def apply(
    pipeline: Any,
    *,
    components: tuple[str, ...] | None = None,
    dynamic: bool = True,
    by_block: bool = True,
    mode: str | None = None,
) -> Any:
    """
    Compile components of a pipeline in place; compilation itself happens at the first call.

    Args:
        pipeline: A diffusers pipeline whose `components` may be changed.
        components: Names of the modules to compile; None: the one that denoises.
        dynamic: Compile for any size at once.
        by_block: Compile the repeated blocks instead of the whole module.
        mode: torch.compile's mode.

    Raises:
        BackendError: A component is missing.
        BackendUnavailable: There is no C++ compiler for CPU kernels, or no Triton for a GPU's.
    """
    if pipeline.device.type == "cpu":
        find_compiler()
    else:
        check_triton()
    for name in components or (denoiser(pipeline),):
        module = getattr(pipeline, name, None)
        if not isinstance(module, nn.Module):
            raise BackendError(f"inductor: the pipeline has no module '{name}' to compile")
        for part in repeated_blocks(module) if by_block else [module]:
            part.compile(dynamic=dynamic, mode=mode)
    return pipeline
