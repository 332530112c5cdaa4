"""The repeated blocks of a model: what is compiled once for all of them, and where its large matrices lie."""

from torch import nn


def repeated_blocks(module: nn.Module) -> list[nn.Module]:
    """
    What is compiled of a module: an autoencoder's decoder, or its repeated blocks, or else the module itself.

    Blocks are those that diffusers names for the class, or else the members of the outermost ModuleLists, which
    transformers hold themselves and text encoders one or two modules deeper. Of a UNet they are the transformer blocks,
    which come in few widths. Its resnets do not: nearly each is a shape of its own, and more variants of one forward()
    than Dynamo compiles would silently run as they are.
    """
    decoder = getattr(module, "decoder", None)
    if isinstance(decoder, nn.Module):  # pipelines call an autoencoder's decode(), never its forward()
        return [decoder]
    named = getattr(module, "_repeated_blocks", None)
    if named and (blocks := [part for part in module.modules() if type(part).__name__ in named]):
        return blocks
    level = list(module.children())
    while level:
        lists = [child for child in level if isinstance(child, nn.ModuleList)]
        if lists:
            return [block for blocks in lists for block in blocks]
        level = [below for child in level for below in child.children()]
    return [module]
