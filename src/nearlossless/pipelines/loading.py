"""Case -> baseline pipeline, and the name of what was loaded."""

import hashlib
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nearlossless.cases import MINIATURE, Case, CaseError
from nearlossless.environment import Fingerprint, fingerprint
from nearlossless.fields import Device
from nearlossless.miniature import PIPELINE as MINIATURE_PIPELINE
from nearlossless.pipelines.loras import check_loras, load_loras, loras_digest
from nearlossless.pipelines.placing import place

# Files up to 16 MiB are hashed whole, larger ones at 16 places of 1 MiB.
_DIGEST_SAMPLE, _DIGEST_SAMPLES = 1 << 20, 16


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep diffusers' and transformers' loading bars and notices out of the gate's output."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    levels = diffusers_logging.get_verbosity(), transformers_logging.get_verbosity()
    had_bars = transformers_logging.is_progress_bar_enabled()
    diffusers_logging.set_verbosity_error()
    diffusers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        diffusers_logging.set_verbosity(levels[0])
        diffusers_logging.enable_progress_bar()
        transformers_logging.set_verbosity(levels[1])
        if had_bars:
            transformers_logging.enable_progress_bar()


def _location(case: Case) -> tuple[str, dict[str, Any]]:
    if case.model.source == MINIATURE:
        return str(MINIATURE_PIPELINE), {"local_files_only": True}
    folder = Path(case.model.source).expanduser()
    if folder.is_dir():
        return str(folder), {"local_files_only": True}
    if case.model.revision is None:
        raise CaseError(
            f"case '{case.name}': '{case.model.source}' is no local folder; pin a commit with model.revision to load it"
            " from the hub"
        )
    return case.model.source, {"revision": case.model.revision}


def _weights_digest(folder: Path) -> str:
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
    location, options = _location(case)
    revision = options.get("revision") or _weights_digest(Path(location))
    return f"{case.model.source}@{revision}{loras_digest(case.model)}"


def _refuse_code(case: Case, source: str) -> None:
    """Older diffusers run Python files that lie beside a local model; weights alone never need any."""
    scripts = sorted(Path(source).rglob("*.py")) if Path(source).is_dir() else []
    if scripts:
        raise CaseError(f"case '{case.name}': {scripts[0]} is code; a model folder may hold weights and settings only")


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
        first: Components to put on the device before the others.

    Raises:
        CaseError: The weights cannot be loaded; says where they were looked for. Or the pipeline has no such option
            as the case asks for.
    """
    import torch
    from diffusers import DiffusionPipeline
    from safetensors import SafetensorError

    source, options = _location(case)
    _refuse_code(case, source)
    check_loras(case.model)
    try:
        with quiet_libraries():
            pipeline = DiffusionPipeline.from_pretrained(
                source,
                torch_dtype=getattr(torch, case.model.dtype[device]),
                use_safetensors=True,
                trust_remote_code=False,
                **options,
            )
    except (OSError, ValueError, ImportError, SafetensorError) as error:
        raise CaseError(
            f"case '{case.name}': cannot load {source}: {error}\n"
            "Download it once with an account that has accepted its licence (hf auth login, then hf download), or set"
            " model.source in case.toml to a local folder."
        ) from error
    pipeline.set_progress_bar_config(disable=True)
    try:
        if on_component is not None:
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
