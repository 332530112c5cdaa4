"""Case -> baseline pipeline, and the name of what was loaded."""

import hashlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nearlossless.cases.case import MINIATURE, Case, CaseError
from nearlossless.environment import Fingerprint, fingerprint
from nearlossless.fields import Device
from nearlossless.miniature import PIPELINE as MINIATURE_PIPELINE
from nearlossless.pipelines.libraries import quiet_libraries
from nearlossless.pipelines.loras import check_loras, load_loras, loras_digest
from nearlossless.pipelines.placing import place
from nearlossless.pipelines.synthetic import build_synthetic, synthetic_name

# Files up to 16 MiB are hashed whole, larger ones at 16 places of 1 MiB.
_DIGEST_SAMPLE, _DIGEST_SAMPLES = 1 << 20, 16


def _location(case: Case) -> tuple[str, dict[str, Any]]:
    if case.model.source == MINIATURE:
        return str(MINIATURE_PIPELINE), {"local_files_only": True}
    folder = Path(case.model.source).expanduser()
    if folder.is_dir():
        return str(folder), {"local_files_only": True}
    if case.model.revision is None:
        raise CaseError(
            f"case '{case.name}': '{case.model.source}' is no local folder; pin a commit with model.revision to load it"
            f" from the hub (https://huggingface.co/{case.model.source}/commits/main lists them)"
        )
    return case.model.source, {"revision": case.model.revision}


def weights_digest(folder: Path) -> str:
    """Short hash of the safetensors under a folder: names, sizes, and samples of the content of large files."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.safetensors")):
        size = path.stat().st_size
        digest.update(f"{path.relative_to(folder).as_posix()} {size}".encode())
        with path.open("rb") as file:
            for start in range(0, size, max(_DIGEST_SAMPLE, size // _DIGEST_SAMPLES)):
                file.seek(start)
                digest.update(file.read(_DIGEST_SAMPLE))
    return digest.hexdigest()[:12]


def weights_name(case: Case) -> str:
    """
    Source and revision, as the picture identity names them, and the LoRA that pictures are drawn with.

    A local folder's revision is a hash of its weights.
    """
    if case.model.weights == "synthetic":
        return synthetic_name(case) + loras_digest(case.model)
    location, options = _location(case)
    revision = options.get("revision") or weights_digest(Path(location))
    return f"{case.model.source}@{revision}{loras_digest(case.model)}"


def _refuse_code(case: Case, source: str) -> None:
    """Older diffusers run Python files that lie beside a local model; weights alone never need any."""
    scripts = sorted(Path(source).rglob("*.py")) if Path(source).is_dir() else []
    if scripts:
        raise CaseError(f"case '{case.name}': {scripts[0]} is code; a model folder may hold weights and settings only")


def _refuse_pickles(case: Case, source: str) -> None:
    """Weights that only a pickle holds are not loaded, since a pickle can run code."""
    for path in sorted(Path(source).rglob("*.bin")) if Path(source).is_dir() else []:
        if not any(path.parent.glob("*.safetensors")):
            raise CaseError(
                f"case '{case.name}': {path} is a pickle and may run code; only safetensors are loaded. If you trust"
                " it, convert it once: load the pipeline in diffusers and save_pretrained(..., safe_serialization=True)"
            )


def _advice(case: Case, error: BaseException) -> str:
    """What to do about weights that were not found where the case looks for them."""
    name, kinds = case.model.source, set[str]()
    cause: BaseException | None = error
    while cause is not None:
        kinds |= {kind.__name__ for kind in type(cause).__mro__}
        cause = cause.__cause__ or cause.__context__
    page, download = f"https://huggingface.co/{name}", f"`hf download {name} --revision {case.model.revision}`"
    if case.model.revision is None:
        return "Set model.source in case.toml to a folder that a diffusers pipeline was saved to, in safetensors."
    if "GatedRepoError" in kinds:
        first = f"Accept its licence at {page}, log in with `hf auth login`, then {download}."
    elif "RevisionNotFoundError" in kinds:
        first = f"It has no revision '{case.model.revision}': choose one of {page}/commits/main."
    elif "RepositoryNotFoundError" in kinds:
        first = f"There is no such model, or your account may not see it: check {page} and log in with `hf auth login`."
    else:
        first = f"Download it once where the hub can be reached (HF_HUB_OFFLINE forbids it): {download}."
    return (
        f"{first} Or set model.source to a local folder. Speed, memory and shapes need no weights: see the case"
        " sd35-large-synthetic."
    )


def _load(case: Case, device: Device) -> Any:
    """The case's trained weights, on the CPU."""
    import torch
    from diffusers import DiffusionPipeline
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError
    from safetensors import SafetensorError

    source, options = _location(case)
    _refuse_code(case, source)
    _refuse_pickles(case, source)
    try:
        return DiffusionPipeline.from_pretrained(
            source,
            torch_dtype=getattr(torch, case.model.dtype[device]),
            use_safetensors=True,
            trust_remote_code=False,
            **options,
        )
    except (OSError, ValueError, ImportError, SafetensorError, HfHubHTTPError, EntryNotFoundError) as error:
        raise CaseError(f"case '{case.name}': cannot load {source}: {error}\n{_advice(case, error)}") from error


def _check_arguments(pipeline: Any, case: Case) -> None:
    """Refuse a setting of the case that its pipeline does not know."""
    known = inspect.signature(type(pipeline).__call__).parameters
    if case.generation.max_sequence_length is not None and "max_sequence_length" not in known:
        raise CaseError(
            f"case '{case.name}': generation.max_sequence_length is for pipelines with a T5;"
            f" {type(pipeline).__name__} has none: remove it"
        )


def build_baseline(
    case: Case,
    device: Device,
    *,
    on_component: Callable[[str, Any], None] | None = None,
    first: tuple[str, ...] = (),
) -> Any:
    """
    The case as diffusers runs it, on `device` in the case's dtype for it.

    Args:
        case: What is loaded.
        device: Where it runs.
        on_component: Told each module once it is on the device, before the next one is put there; may change it.
        first: Components to put on the device before the others; synthetic ones are built largest first.

    Raises:
        CaseError: The weights cannot be loaded or built; says where they were looked for and what to do. Or the
            pipeline has no such option as the case asks for.
    """
    import torch

    check_loras(case.model)
    is_synthetic = case.model.weights == "synthetic"
    with quiet_libraries():
        pipeline = build_synthetic(case, device, on_component=on_component) if is_synthetic else _load(case, device)
    _check_arguments(pipeline, case)
    pipeline.set_progress_bar_config(disable=True)
    try:
        if on_component is not None and not is_synthetic:
            _prepare_each(pipeline, device, on_component, first, is_offloaded=case.model.offload is not None)
        place(pipeline, case.model, device)
        load_loras(pipeline, case.model)
    except torch.cuda.OutOfMemoryError as error:
        raise CaseError(f"case '{case.name}': out of this GPU's memory while loading: {error}") from None
    return pipeline


def _prepare_each(
    pipeline: Any,
    device: Device,
    on_component: Callable[[str, Any], None],
    first: tuple[str, ...],
    *,
    is_offloaded: bool,
) -> None:
    import torch

    modules = {name: part for name, part in pipeline.components.items() if isinstance(part, torch.nn.Module)}
    for name in sorted(modules, key=lambda name: name not in first):
        on_component(name, modules[name].to(device))
        if is_offloaded:
            modules[name].to("cpu")


def fingerprint_of(pipeline: Any, case: Case, device: Device) -> Fingerprint:
    """The fingerprint of this process for what a pipeline of the case draws."""
    return fingerprint(
        device=device,
        dtype=case.model.dtype[device],
        weights=weights_name(case),
        scheduler=type(getattr(pipeline, "scheduler", None)).__name__,
    )
