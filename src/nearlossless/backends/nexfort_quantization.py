"""nexfort's quantized linear layers: schemes `nexfort:<quant_type>`."""

from torch import nn

from nearlossless.backends import BackendError
from nearlossless.backends.nexfort import claim_environment
from nearlossless.backends.nexfort_probe import check, quantize_task


def replace_linears(module: nn.Module, quant_type: str) -> None:
    """Put nexfort's layers in the place of linear ones, with new weights; the old ones are not written into."""
    from nexfort.quantization import quantize as nexfort_quantize

    nexfort_quantize(module, quant_type=quant_type)


def quantize(module: nn.Module, quant_type: str) -> None:
    """
    Quantize a module's linear layers in place.

    Args:
        module: Weights in bfloat16 or float16.
        quant_type: nexfort's name, for example "fp8_e4m3_e4m3_dynamic_per_tensor".

    Raises:
        BackendError: nexfort has no such type, the weights have another dtype, or there was nothing to quantize.
        BackendUnavailable: It cannot run here, for want of a GPU, a licence, or the library.
    """
    weight = next(module.parameters())
    check(quantize_task(quant_type, weight.device.type, str(weight.dtype).removeprefix("torch.")))
    claim_environment()
    before = quantized_layers(module)
    try:
        replace_linears(module, quant_type)
    except Exception as error:
        raise BackendError(f"nexfort:{quant_type}: {type(error).__name__}: {error}") from error
    if quantized_layers(module) == before:
        raise BackendError(f"nexfort:{quant_type}: {type(module).__name__} has no linear layer that it quantizes")


def quantized_layers(module: nn.Module) -> int:
    """How many layers of a module are nexfort's quantized ones."""
    return sum(type(part).__module__.startswith("nexfort.quantization") for part in module.modules())
