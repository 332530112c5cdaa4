"""Case -> baseline pipeline; (pipeline, recipe) -> compiled pipeline; (pipeline, request) -> picture."""

import copy
import hashlib
import inspect
import itertools
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nearlossless.backends import BackendError, BackendUnavailable, resolve
from nearlossless.cases import MINIATURE, Case, CaseError, Device, Generation, Recipe
from nearlossless.environment import Fingerprint, fingerprint, restored_torch_settings
from nearlossless.miniature import PIPELINE as MINIATURE_PIPELINE

if TYPE_CHECKING:
    from PIL import Image


# Files up to 16 MiB are hashed whole, larger ones at 16 places of 1 MiB.
_DIGEST_SAMPLE, _DIGEST_SAMPLES = 1 << 20, 16


@dataclass(frozen=True, slots=True)
class Request:
    """One picture to draw."""

    prompt: str
    seed: int
    height: int
    width: int
    steps: int


def requests(generation: Generation) -> list[Request]:
    """Every prompt with every seed, at the case's own size."""
    return [
        Request(prompt, seed, generation.height, generation.width, generation.steps)
        for prompt in generation.prompts
        for seed in generation.seeds
    ]


def size_requests(generation: Generation) -> list[Request]:
    """The first prompt and seed at every size that the shapes gate cycles through, in few steps."""
    return [
        Request(generation.prompts[0], generation.seeds[0], height, width, generation.size_steps)
        for height, width in generation.sizes
    ]


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
    """Source and revision, as the picture identity names them; a local folder's revision is a hash of its weights."""
    location, options = _location(case)
    revision = options.get("revision") or _weights_digest(Path(location))
    return f"{case.model.source}@{revision}"


def _refuse_code(case: Case, source: str) -> None:
    """Older diffusers run Python files that lie beside a local model; weights alone never need any."""
    scripts = sorted(Path(source).rglob("*.py")) if Path(source).is_dir() else []
    if scripts:
        raise CaseError(f"case '{case.name}': {scripts[0]} is code; a model folder may hold weights and settings only")


def build_baseline(case: Case, device: Device) -> Any:
    """
    The case as diffusers runs it, on `device` in the case's dtype for it.

    Raises:
        CaseError: The weights cannot be loaded; says where they were looked for.
    """
    import torch
    from diffusers import DiffusionPipeline
    from safetensors import SafetensorError

    source, options = _location(case)
    _refuse_code(case, source)
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
        return pipeline.to(device)
    except torch.cuda.OutOfMemoryError as error:
        raise CaseError(f"case '{case.name}': out of this GPU's memory while loading: {error}") from None


def fingerprint_of(pipeline: Any, case: Case, device: Device) -> Fingerprint:
    """The fingerprint of this process for what a pipeline of the case draws."""
    return fingerprint(
        device=device,
        dtype=case.model.dtype[device],
        weights=weights_name(case),
        scheduler=type(getattr(pipeline, "scheduler", None)).__name__,
    )


def shared_copy(module: Any) -> Any:
    """
    A structural copy of a module that shares every weight with it.

    Compiling or rewiring the copy leaves the original as it is; writing into a weight in place does not.
    """
    from torch import nn

    if not isinstance(module, nn.Module):
        return copy.deepcopy(module)
    shared = {id(tensor): tensor for tensor in [*module.parameters(), *module.buffers()]}
    return copy.deepcopy(module, shared)


def copy_pipeline(pipeline: Any, touched: tuple[str, ...] | None) -> Any:
    """A second pipeline with copies of the `touched` components (None: of all) and the others shared."""
    names = pipeline.components.keys() if touched is None else touched
    unknown = set(names) - set(pipeline.components)
    if unknown:
        raise CaseError(f"recipe touches {sorted(unknown)}; the pipeline has {sorted(pipeline.components)}")
    components = {
        name: shared_copy(part) if name in names and part is not None else part
        for name, part in pipeline.components.items()
    }
    accepted = inspect.signature(type(pipeline).__init__).parameters
    settings = {name: value for name, value in pipeline.config.items() if name in accepted and name not in components}
    second = type(pipeline)(**components, **settings)
    second.set_progress_bar_config(disable=True)
    return second


def build_compiled(baseline: Any, recipe: Recipe) -> Any:
    """
    The baseline's case under a recipe; the baseline itself is left alone as far as its backend lets it.

    Raises:
        BackendError: The backend raised, ended the process by exception, or returned no pipeline.
        BackendUnavailable: It cannot run on this machine.
    """
    pipeline = copy_pipeline(baseline, recipe.touches)
    options = copy.deepcopy(recipe.options)
    if recipe.is_built_in and recipe.touches is not None:
        options.setdefault("components", recipe.touches)
    apply = resolve(recipe.backend)
    try:
        with restored_torch_settings():
            compiled = apply(pipeline, **options)
    except (KeyboardInterrupt, BackendError, BackendUnavailable):
        raise
    except BaseException as error:  # a library may call sys.exit: it must not end the test session
        raise BackendError(f"{recipe.backend}: {type(error).__name__}: {error}") from error
    if not callable(compiled):
        raise BackendError(
            f"{recipe.backend}: returned {type(compiled).__name__}, not a pipeline; a backend is"
            " function(pipeline, **options) -> pipeline"
        )
    return compiled


def call(pipeline: Any, generation: Generation, request: Request, **options: Any) -> Any:
    """Run a pipeline on one request; initial latents come from the CPU, the same on every device."""
    import torch

    arguments: dict[str, Any] = {
        "prompt": request.prompt,
        "height": request.height,
        "width": request.width,
        "num_inference_steps": request.steps,
        "guidance_scale": generation.guidance_scale,
        "generator": torch.Generator("cpu").manual_seed(request.seed),
    }
    if generation.max_sequence_length is not None:
        arguments["max_sequence_length"] = generation.max_sequence_length
    return pipeline(**arguments, **options)


def draw(pipeline: Any, generation: Generation, request: Request) -> "Image.Image":
    """
    One picture.

    Raises:
        BackendError: The pipeline raised, or returned something that is not one picture.
    """
    from PIL import Image

    try:
        output = call(pipeline, generation, request)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # compiled code may even call sys.exit
        raise BackendError(f"drawing {request.width}x{request.height}: {type(error).__name__}: {error}") from error
    images = getattr(output, "images", None)
    if not isinstance(images, list) or len(images) != 1 or not isinstance(images[0], Image.Image):
        raise BackendError(f"the pipeline returned {type(output).__name__} without exactly one picture")
    return images[0]


def step_timer(clock: Callable[[], float]) -> tuple[list[float], dict[str, Any]]:
    """A list that a call fills with the time of each step's end, and the options that make it do so."""
    ends: list[float] = []

    def record(_pipeline: Any, _step: int, _timestep: Any, values: dict[str, Any]) -> dict[str, Any]:
        ends.append(clock())
        return values

    return ends, {"callback_on_step_end": record}


class BaselineChanged(Exception):
    """Applying a recipe changed what the baseline draws."""


def _rms(a: "Image.Image", b: "Image.Image") -> float:
    import numpy as np

    difference = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
    return float(np.sqrt(np.mean(difference**2)))


def check_baseline_unchanged(before: Sequence["Image.Image"], after: "Image.Image") -> None:
    """
    Compare what the baseline drew again and again before a recipe was applied with what it draws now.

    Raises:
        BaselineChanged: Not the same bits although it repeated them before, or further from every former picture
            than these were from each other.
    """
    if after.size != before[0].size:
        raise BaselineChanged(f"the backend changed the baseline: it now draws {after.size}, before {before[0].size}")
    spread = max(_rms(a, b) for a, b in itertools.combinations(before, 2))
    moved = min(_rms(picture, after) for picture in before)
    if moved > spread:
        raise BaselineChanged(
            f"the backend changed the baseline: its picture moved by RMS {moved:.3g} of 255 (its own repeat spread is"
            f" {spread:.3g}); let the recipe's 'touches' name every component that the backend changes, and copy"
            " weights before writing into them"
        )


def release(device: Device) -> None:
    """Forget compiled code and give memory back, after the last reference to a pipeline is gone."""
    import gc

    import torch

    torch.compiler.reset()
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
