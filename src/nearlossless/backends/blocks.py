"""The repeated blocks of a model: what is compiled once for all of them, and where its large matrices lie."""

from torch import nn


def repeated_blocks(module: nn.Module) -> list[nn.Module]:
    """
    The blocks in the module's outermost ModuleLists, or an autoencoder's decoder, or else the module itself.

    Transformers hold their lists themselves, text encoders one or two modules deeper.
    """
    decoder = getattr(module, "decoder", None)
    if isinstance(decoder, nn.Module):  # pipelines call an autoencoder's decode(), never its forward()
        return [decoder]
    level = list(module.children())
    while level:
        lists = [child for child in level if isinstance(child, nn.ModuleList)]
        if lists:
            return [block for blocks in lists for block in blocks]
        level = [below for child in level for below in child.children()]
    return [module]
