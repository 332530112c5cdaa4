"""`weights = "synthetic"`: the pipeline that configuration files describe, with random weights and no download."""

import hashlib
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nearlossless.cases.case import MINIATURE, Case, CaseError
from nearlossless.fields import Device
from nearlossless.miniature import PIPELINE as MINIATURE_PIPELINE

ARCHITECTURES = Path(__file__).parents[1] / "architectures"
INDEX, SEED = "model_index.json", 20
# The miniature's tokenizers stand in for those of the same kind: few words, but the real number of tokens.
CLIP, T5 = ("CLIPTokenizer", "tokenizer"), ("T5TokenizerFast", "tokenizer_3")
TOKENIZERS = {"CLIPTokenizer": CLIP, "CLIPTokenizerFast": CLIP, "T5Tokenizer": T5, "T5TokenizerFast": T5}
T5_LENGTH = 512  # the longest that the pipelines with a T5 accept; they cut at their max_sequence_length
CLIP_END_IS_HIGHEST = 2  # this eos_token_id makes CLIP pool at the token of the highest id, its tokenizers' last one


def architecture_names() -> list[str]:
    """Names of the shipped architectures."""
    return sorted(folder.parent.name for folder in ARCHITECTURES.glob(f"*/{INDEX}"))


def configuration_folder(case: Case) -> Path:
    """
    Where configuration files of a case lie on this machine, whether its weights are here or not.

    Raises:
        CaseError: Nowhere: a hub name in a case that is not named as a shipped architecture.
    """
    if case.model.weights == "synthetic":
        return architecture_folder(case)
    if case.model.source == MINIATURE:
        return MINIATURE_PIPELINE
    folder = Path(case.model.source).expanduser()
    if (folder / INDEX).is_file():
        return folder
    if case.name in architecture_names():
        return ARCHITECTURES / case.name
    raise CaseError(
        f"case '{case.name}': there are no configuration files to count weights from: '{case.model.source}' is no local"
        f" folder, and the case has none of the names {', '.join(architecture_names())}"
    )


def architecture_folder(case: Case) -> Path:
    """
    Where the configuration files of a case lie.

    Raises:
        CaseError: The source is neither a shipped architecture nor a local folder of configuration files.
    """
    names = architecture_names()
    if case.model.source in names:
        return ARCHITECTURES / case.model.source
    folder = Path(case.model.source).expanduser()
    if not (folder / INDEX).is_file():
        raise CaseError(
            f"case '{case.name}': with synthetic weights model.source is one of {', '.join(names)}, or a folder with a"
            f" {INDEX} and the configurations that it names; '{case.model.source}' is neither"
        )
    return folder


def synthetic_name(case: Case) -> str:
    """Source, and a short hash of everything that decides the weights but device and dtype."""
    folder, digest = architecture_folder(case), hashlib.sha256(str(SEED).encode())
    for path in sorted(folder.rglob("*.json")):
        digest.update(f"\n{path.relative_to(folder).as_posix()}\n".encode() + path.read_bytes())
    return f"synthetic:{case.model.source}@{digest.hexdigest()[:12]}"


def _read(path: Path) -> dict[str, Any]:
    """A configuration file, without the choice of an attention kernel: transformers fetches and runs named ones."""

    def harmless(content: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in content.items() if "attn_implementation" not in key}

    try:
        content = json.loads(path.read_text(encoding="utf-8"), object_hook=harmless)
    except (OSError, ValueError) as error:
        raise CaseError(f"{path}: cannot be read as JSON: {error}") from None
    if not isinstance(content, dict):
        raise CaseError(f"{path}: is not a JSON object")
    return content


def _find_class(path: Path, library: Any, name: Any, *bases: type) -> type[Any]:
    """A class that a file names, from diffusers or transformers themselves and from nowhere else."""
    import diffusers
    import transformers

    libraries = {"diffusers": diffusers, "transformers": transformers}
    found = getattr(libraries.get(str(library)), str(name), None)
    if not isinstance(found, type) or not issubclass(found, bases):
        kinds = ", ".join(base.__name__ for base in bases)
        raise CaseError(
            f"{path}: names {library}.{name}; what can be built is diffusers' or transformers' own ({kinds})"
        )
    return found


def _build_empty(cls: type[Any], path: Path) -> Any:
    """A model without weights."""
    from transformers import PreTrainedModel

    from nearlossless.pipelines.random_weights import without_weights

    content = _read(path)
    is_transformers = issubclass(cls, PreTrainedModel)
    key, kind = ("model_type", cls.config_class.model_type) if is_transformers else ("_class_name", cls.__name__)
    if content.get(key) != kind:
        raise CaseError(f"{path}: does not describe a {cls.__name__}: its {key} is {content.get(key)}, not {kind}")
    try:
        with without_weights():
            if not is_transformers:
                return cls.from_config(content)
            if content.get("model_type") == "clip_text_model":
                content["eos_token_id"] = CLIP_END_IS_HIGHEST
            model = cls(cls.config_class.from_dict(content))
        model.tie_weights()  # making parameters empty has untied them
    except (TypeError, ValueError, KeyError, AttributeError, RuntimeError) as error:
        raise CaseError(f"{path}: does not describe a {cls.__name__}: {type(error).__name__}: {error}") from error
    return model


def _build_tokenizer(path: Path, name: str, encoder: Any) -> Any:
    """The miniature's tokenizer of the kind that a file names, padded to what the encoder reads."""
    import transformers

    if name not in TOKENIZERS or encoder is None:
        raise CaseError(
            f"{path}: no stand-in for {name}; there is one for {', '.join(TOKENIZERS)}, each with its encoder"
        )
    kind, folder = TOKENIZERS[name]
    length = getattr(encoder.config, "max_position_embeddings", T5_LENGTH)
    tokenizer = getattr(transformers, kind).from_pretrained(
        MINIATURE_PIPELINE / folder, model_max_length=length, local_files_only=True
    )
    if len(tokenizer) > encoder.config.vocab_size:
        raise CaseError(
            f"{path}: an encoder of {encoder.config.vocab_size} words is too small for the tokenizer that stands in for"
            f" {name}; it needs {len(tokenizer)}"
        )
    return tokenizer


def _empty_parts(folder: Path, index: dict[str, Any]) -> dict[str, Any]:
    """Every component that the index names, models without weights; None for those that it leaves out."""
    from diffusers import ModelMixin, SchedulerMixin
    from transformers import PreTrainedModel

    path, parts = folder / INDEX, dict[str, Any]()
    named = {name: entry for name, entry in index.items() if isinstance(entry, list)}
    for name, entry in named.items():
        if not name.isidentifier() or len(entry) != 2:
            raise CaseError(f"{path}: '{name}' = {entry} is not a component with its library and class")
    for name, (library, class_name) in named.items():
        if class_name is None:
            parts[name] = None
        elif name == "scheduler":
            scheduler = _find_class(path, library, class_name, SchedulerMixin)
            parts[name] = scheduler.from_config(_read(folder / name / "scheduler_config.json"))
        elif not name.startswith("tokenizer"):
            cls = _find_class(path, library, class_name, ModelMixin, PreTrainedModel)
            parts[name] = _build_empty(cls, folder / name / "config.json")
    for name, (_, class_name) in named.items():
        if name not in parts:
            encoder = parts.get(name.replace("tokenizer", "text_encoder"))
            parts[name] = _build_tokenizer(path, class_name, encoder)
    return parts


def empty_models(folder: Path) -> dict[str, Any]:
    """
    The models that a folder of configurations describes, by component, without memory for their weights.

    Args:
        folder: With a `model_index.json`; weights may lie in it, and are not read.

    Raises:
        CaseError: The files are missing, or describe nothing that can be built.
    """
    from diffusers import ModelMixin
    from transformers import PreTrainedModel

    path, found = folder / INDEX, dict[str, Any]()
    for name, entry in _read(path).items():
        is_model = isinstance(entry, list) and len(entry) == 2 and entry[1] is not None and name.isidentifier()
        if is_model and (folder / name / "config.json").is_file():
            cls = _find_class(path, *entry, ModelMixin, PreTrainedModel)
            found[name] = _build_empty(cls, folder / name / "config.json")
    if not found:
        raise CaseError(f"{path}: names no model with a configuration beside it")
    return found


def build_synthetic(case: Case, device: Device, *, on_component: Callable[[str, Any], None] | None = None) -> Any:
    """
    The pipeline of a case with random weights, on `device` in the case's dtype for it.

    Components are given their weights largest first and one after the other, so that at no time more lies in memory
    than the weights so far and one tensor.

    Args:
        case: With `weights = "synthetic"`.
        device: Where the weights are drawn. Two builds on the same device have the same bits.
        on_component: Called with the name and the module of each component as soon as it has its weights; may quantize
            it in place before the next one takes memory.

    Raises:
        CaseError: The files are missing, or describe nothing that can be built, or nothing that fits the device.
    """
    import torch
    from diffusers import DiffusionPipeline

    from nearlossless.pipelines.random_weights import materialize

    folder = architecture_folder(case)
    index = _read(folder / INDEX)
    pipeline_class = _find_class(folder / INDEX, "diffusers", index.get("_class_name"), DiffusionPipeline)
    parts = _empty_parts(folder, index)
    models = {name: part for name, part in parts.items() if isinstance(part, torch.nn.Module)}
    dtype = getattr(torch, case.model.dtype[device])
    try:
        for name in sorted(models, key=lambda name: -sum(weight.numel() for weight in models[name].parameters())):
            materialize(models[name].eval(), device=device, dtype=dtype, seed=zlib.crc32(f"{SEED} {name}".encode()))
            if on_component is not None:
                on_component(name, models[name])
            if case.model.offload is not None:  # the components need not fit beside each other
                models[name].to("cpu")
    except torch.cuda.OutOfMemoryError as error:
        raise CaseError(f"case '{case.name}': out of this GPU's memory while building: {error}") from None
    settings = {key: value for key, value in index.items() if key not in parts and not key.startswith("_")}
    try:
        return pipeline_class(**parts, **settings)
    except TypeError as error:
        raise CaseError(f"{folder / INDEX}: does not describe a {pipeline_class.__name__}: {error}") from None
