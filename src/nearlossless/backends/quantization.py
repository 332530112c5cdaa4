"""torchao's dynamic quantization of a component's block linears: 8-bit weights, activations rounded at each call."""

from typing import Any

from torch import nn

from nearlossless.backends import BackendError, BackendUnavailable
from nearlossless.backends.blocks import repeated_blocks
from nearlossless.cases.recipes import FLOAT8, INT8, NEXFORT_SCHEME

FLOAT8_CAPABILITY = (8, 9)  # CUDA compute capability from which tensor cores multiply float8: Ada and Hopper
_MULTIPLE = 16  # of both sides of a weight: torch._scaled_mm's requirement; torch._int_mm asks for 8


def quantize(module: nn.Module, scheme: str) -> None:
    """
    Quantize the block linears of a module in place; their former weights are replaced, never written into.

    Args:
        module: A component of a pipeline, on the device that it will run on.
        scheme: "float8" (per row, CUDA), "int8" (per row, CPU and CUDA) or "nexfort:<quant_type>".

    Raises:
        BackendUnavailable: The library is missing or too old, or this machine cannot run the scheme.
    """
    if scheme.startswith(NEXFORT_SCHEME):
        from nearlossless.backends import nexfort_quantization

        nexfort_quantization.quantize(module, scheme.removeprefix(NEXFORT_SCHEME))
        return
    makers = {FLOAT8: _float8, INT8: _int8}
    if scheme not in makers:
        raise BackendError(f"quantization: unknown scheme '{scheme}'; known are {', '.join(makers)}")
    layers = layers_of(module, scheme)
    if layers:
        makers[scheme](module, layers)


def layers_of(module: nn.Module, scheme: str) -> set[nn.Linear]:
    """Which linears of a module "float8" or "int8" quantizes; it may lie on the meta device."""
    return _layers(module, with_modulation=scheme == FLOAT8)


def quantized_layers(module: nn.Module) -> int:
    """How many layers of a module hold quantized weights."""
    from nearlossless.backends.nexfort_quantization import quantized_layers as layers_of_nexfort

    count = sum(type(getattr(part, "weight", None)).__module__.startswith("torchao.") for part in module.modules())
    return count + layers_of_nexfort(module)


def _layers(module: nn.Module, *, with_modulation: bool) -> set[nn.Linear]:
    """
    The linears to quantize: those of the repeated blocks whose shape the kernels take.

    What lies outside the blocks (patch, time and text embedders, the last norm and projection) stays as it is: it
    holds under 2 % of the weights and sets the range of everything after it. In the miniature, int8 there takes the
    worst tile of eight pictures from 0.82 to 0.72. The modulation of adaptive norms (`norm1.linear`, ...) holds a
    third of SD3.5-Large and rounds harmlessly (worst tile 0.998 when it alone is int8), but it multiplies one row a
    picture, and CUDA's int8 product (torch._int_mm) takes no fewer than 17 rows.
    """
    return {
        part
        for block in repeated_blocks(module)
        for name, part in block.named_modules()
        if isinstance(part, nn.Linear)
        and not any(side % _MULTIPLE for side in part.weight.shape)
        and (with_modulation or not any(word.startswith("norm") for word in name.split(".")))
    }


def _torchao() -> Any:
    try:
        from torchao import quantization
    except ImportError as error:
        raise _install(f"cannot be imported ({error})") from None
    return quantization


def _install(problem: str) -> BackendUnavailable:
    return BackendUnavailable(
        f"quantization: torchao {problem}; install the one for your torch: pip install torchao==0.18.0 for torch 2.11"
        " and newer, or nearlossless[torchao]"
    )


def _replace(module: nn.Module, layers: set[nn.Linear], config: str, **options: Any) -> None:
    torchao = _torchao()
    try:
        # Inductor's process-wide settings stay as they are: a recipe names its own in 'config'.
        made = getattr(torchao, config)(set_inductor_config=False, **options)
    except (AttributeError, TypeError) as error:
        raise _install(f"is too old ({error})") from None
    torchao.quantize_(module, made, lambda part, _name: part in layers)


def _int8(module: nn.Module, layers: set[nn.Linear]) -> None:
    _torchao()
    try:
        from torchao.utils import should_reduce_range
    except ImportError as error:
        raise _install(f"is too old ({error})") from None
    device = next(module.parameters()).device
    # CPUs without VNNI add pairs of products in 16 bits, which 8-bit factors overflow.
    _replace(module, layers, "Int8DynamicActivationInt8WeightConfig", reduce_range=should_reduce_range(device))


def _float8(module: nn.Module, layers: set[nn.Linear]) -> None:
    import torch

    device = next(module.parameters()).device
    if device.type != "cuda" or torch.cuda.get_device_capability(device) < FLOAT8_CAPABILITY:
        here = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
        raise BackendUnavailable(
            f"quantization: float8 needs a CUDA GPU of compute capability 8.9 or newer (Ada, Hopper); this is {here};"
            " 'int8' runs here"
        )
    if torch.bfloat16 not in {layer.weight.dtype for layer in layers}:
        raise BackendUnavailable("quantization: float8 per row needs bfloat16 weights; set model.dtype to 'bfloat16'")
    for layer in layers:
        # T5's output projections stay in float32 in some versions, because float16 overflows there; bfloat16 does
        # not. A new weight takes the place of one that the baseline may share.
        layer.weight = nn.Parameter(layer.weight.detach().to(torch.bfloat16), requires_grad=False)
    _replace(module, layers, "Float8DynamicActivationFloat8WeightConfig", granularity=_torchao().PerRow())
