"""LoRAs from local safetensors files: the first is loaded, the others are swapped in between calls."""

import hashlib
import importlib.util
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nearlossless.backends import BackendError
from nearlossless.cases.case import CaseError, Lora, Model
from nearlossless.pipelines.placing import without_offload

ADAPTER = "lora"  # PEFT's name for the one LoRA that is loaded; a swap keeps it
_DOWN = ("lora_A", "lora.down", "lora_down")  # how peft, diffusers and kohya name the matrix whose rows are the rank


def loras_digest(model: Model) -> str:
    """
    Names what of a case's LoRAs decides its pictures: hash and scale of the one they are drawn with; "" without one.

    Raises:
        CaseError: The file cannot be read.
    """
    if not model.loras:
        return ""
    first = model.loras[0]
    with _path(first).open("rb") as file:
        return f"+{hashlib.file_digest(file, 'sha256').hexdigest()[:12]}x{first.scale:g}"


def check_loras(model: Model) -> None:
    """
    See that a case's LoRAs can be read, before anything large is loaded.

    Raises:
        CaseError: PEFT is not installed, or a file is missing, damaged or holds no LoRA.
    """
    if model.loras and importlib.util.find_spec("peft") is None:
        raise CaseError('model.loras needs PEFT: pip install "nearlossless[lora]"')
    for lora in model.loras:
        lora_rank(lora)


def load_loras(pipeline: Any, model: Model) -> None:
    """
    Load a case's first LoRA, and see that each other one can be swapped in, before anything is compiled.

    Raises:
        CaseError: A file holds no LoRA for this pipeline, or two cannot be swapped.
    """
    if not model.loras:
        return
    first, *others = model.loras
    try:
        if others:
            pipeline.enable_lora_hotswap(target_rank=max(map(lora_rank, model.loras)))
        _load(pipeline, first, hotswap=False)
        if not list(_layers(pipeline)):
            raise CaseError(f"model.loras: {first.file} has no weights for this {type(pipeline).__name__}")
        for lora in (*others, first) if others else ():
            _load(pipeline, lora, hotswap=True)
    except (OSError, ValueError, RuntimeError, KeyError, AttributeError) as error:
        raise CaseError(f"model.loras: cannot load them into {type(pipeline).__name__}: {error}") from error


def swap_lora(pipeline: Any, lora: Lora) -> None:
    """
    Put another LoRA of the case in place of the loaded one, between two calls.

    Raises:
        BackendError: The pipeline does not take it, although the baseline did when it was loaded.
    """
    try:
        _load(pipeline, lora, hotswap=True)
    except Exception as error:  # a backend may have left no trace of the LoRA's layers, or no such method
        raise BackendError(f"swapping to LoRA {lora.file}: {type(error).__name__}: {error}") from error


def _load(pipeline: Any, lora: Lora, *, hotswap: bool) -> None:
    from nearlossless.pipelines.libraries import quiet_libraries

    with quiet_libraries(), without_offload(pipeline):
        # PEFT exchanges the tensors of a model in which it sees nothing compiled, such as one compiled by block, or
        # the baseline that shares them; then padding is lost. A tensor that is referred to it overwrites in place.
        held = [weakref.ref(weight) for layer in _layers(pipeline) for weight in layer.parameters()]
        path = _path(lora)
        pipeline.load_lora_weights(
            str(path.parent), weight_name=path.name, adapter_name=ADAPTER, hotswap=hotswap, use_safetensors=True
        )
        held.clear()
        # Loading has just set the scaling to alpha / rank. `set_adapters` would put a number where compiled code has
        # a tensor.
        for layer in _layers(pipeline):
            layer.scaling[ADAPTER] *= lora.scale


def _layers(pipeline: Any) -> Iterator[Any]:
    """The layers of a pipeline that hold the LoRA."""
    from peft.tuners.lora import LoraLayer
    from torch import nn

    for part in getattr(pipeline, "components", {}).values():
        for module in part.modules() if isinstance(part, nn.Module) else ():
            if isinstance(module, LoraLayer) and ADAPTER in module.scaling:
                yield module


def lora_rank(lora: Lora) -> int:
    """
    The largest rank among a LoRA's matrices, read from the file's header.

    Raises:
        CaseError: The file is missing, damaged, or holds no LoRA.
    """
    from safetensors import SafetensorError, safe_open

    path = _path(lora)
    try:
        with safe_open(path, framework="pt") as file:
            names: list[str] = [name for name in list(file.keys()) if any(part in name for part in _DOWN)]
            ranks: list[int] = [file.get_slice(name).get_shape()[0] for name in names]
    except SafetensorError as error:
        raise CaseError(f"model.loras: {lora.file}: {error}") from None
    if not ranks:
        raise CaseError(f"model.loras: {lora.file} holds no LoRA: none of its tensors is named {' or '.join(_DOWN)}")
    return max(ranks)


def _path(lora: Lora) -> Path:
    path = Path(lora.file).expanduser()
    if not path.is_file():
        raise CaseError(f"model.loras: {lora.file} is no local file")
    return path
