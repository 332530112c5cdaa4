"""What a pipeline's weights cost in memory under a recipe, counted from configurations alone."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from nearlossless.backends.inductor import restructure
from nearlossless.backends.quantization import layers_of
from nearlossless.cases.case import Case, CaseError
from nearlossless.cases.recipes import FLOAT8, INDUCTOR, INT8, NEXFORT_SCHEME, RESTRUCTURING, Recipe
from nearlossless.fields import Device
from nearlossless.pipelines.libraries import quiet_libraries
from nearlossless.pipelines.random_weights import stays_float32
from nearlossless.pipelines.synthetic import configuration_folder, empty_models

_ROW_BYTES = {FLOAT8: 4, INT8: 5}  # a float32 scale for each row of a quantized weight; int8 keeps a zero point, too
_NEXFORT_ROW_BYTES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentWeights:
    """One component. Bytes are of its parameters, scales of quantized ones included, and of its buffers."""

    name: str
    parameters: int
    parameter_bytes: int
    buffer_bytes: int
    quantized_layers: int
    largest_layer_bytes: int
    loaded_bytes: int  # as it comes, before anything is quantized

    @property
    def bytes(self) -> int:
        """All that it holds."""
        return self.parameter_bytes + self.buffer_bytes


def weights_of(case: Case, recipe: Recipe | None, device: Device) -> list[ComponentWeights]:
    """
    The weights of each component of a case, of a pipeline that runs alone; no weight is read, drawn or downloaded.

    LoRAs are not counted. nexfort does not tell which layers it quantizes: every linear one is counted.

    Args:
        case: What is loaded.
        recipe: What restructures and quantizes; None: the baseline.
        device: Gives the dtype.

    Raises:
        CaseError: There are no configuration files here, or they describe nothing that can be built; or the recipe
            quantizes what the pipeline does not have.
        BackendError: The recipe cannot restructure a component.
    """
    dtype = getattr(torch, case.model.dtype[device])
    with quiet_libraries():
        models = empty_models(configuration_folder(case))
    schemes = recipe.quantization if recipe is not None else {}
    if unknown := set(schemes) - set(models):
        raise CaseError(f"recipe quantizes {sorted(unknown)}; the pipeline has {sorted(models)}")
    for name, model in models.items():
        if recipe is not None and recipe.backend == INDUCTOR:
            restructure(name, model, **{key: tuple(recipe.options.get(key, ())) for key in RESTRUCTURING})
    return [count_weights(name, model, dtype, schemes.get(name)) for name, model in models.items()]


def count_weights(name: str, module: nn.Module, dtype: torch.dtype, scheme: str | None) -> ComponentWeights:
    """
    The weights of a module, which may have no memory.

    Args:
        name: Of the component.
        module: As its recipe restructures it, not yet quantized.
        dtype: That it will be loaded in.
        scheme: That will quantize it; None leaves it as it is.
    """
    quantized = _quantized(module, scheme)
    counted: dict[nn.Parameter, int] = {}  # a tied weight stands under two names
    buffer_bytes, loaded_bytes, by_layer = 0, 0, dict[str, int]()
    for path, part in module.named_modules():
        for key, weight in part._parameters.items():
            if weight is not None and weight not in counted:
                kept = torch.float32 if stays_float32(module, path, dtype) else dtype
                is_quantized = part in quantized and key == "weight"
                plain_bytes = weight.numel() * kept.itemsize
                counted[weight] = _quantized_bytes(weight, scheme) if is_quantized else plain_bytes
                loaded_bytes += plain_bytes
                by_layer[path] = by_layer.get(path, 0) + counted[weight]
        buffer_bytes += sum(_buffer_sizes(part, dtype))
    return ComponentWeights(
        name=name,
        parameters=sum(weight.numel() for weight in counted),
        parameter_bytes=sum(counted.values()),
        buffer_bytes=buffer_bytes,
        quantized_layers=len(quantized),
        largest_layer_bytes=max(by_layer.values(), default=0),
        loaded_bytes=loaded_bytes + buffer_bytes,
    )


def _quantized(module: nn.Module, scheme: str | None) -> set[nn.Linear]:
    if scheme is None:
        return set()
    if scheme.startswith(NEXFORT_SCHEME):
        return {part for part in module.modules() if isinstance(part, nn.Linear)}
    return layers_of(module, scheme)


def _quantized_bytes(weight: torch.Tensor, scheme: str | None) -> int:
    """One byte a weight, and what each row needs to be read again."""
    return weight.numel() + weight.shape[0] * _ROW_BYTES.get(scheme or "", _NEXFORT_ROW_BYTES)


def _buffer_sizes(part: nn.Module, dtype: torch.dtype) -> Iterator[int]:
    """Those that a checkpoint holds take its dtype; the others stay as their own code made them."""
    for name, buffer in part._buffers.items():
        if buffer is not None:
            is_cast = buffer.is_floating_point() and name not in part._non_persistent_buffers_set
            yield buffer.numel() * (dtype.itemsize if is_cast else buffer.element_size())
