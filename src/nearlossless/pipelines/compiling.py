"""(baseline pipeline, recipe) -> compiled pipeline, and the proof that the baseline stayed what it was."""

import copy
import inspect
import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from nearlossless.backends import BackendError, BackendUnavailable, resolve
from nearlossless.cases.case import Case, CaseError
from nearlossless.cases.recipes import INDUCTOR, RESTRUCTURING, Recipe
from nearlossless.fields import Device
from nearlossless.pipelines.loading import build_baseline
from nearlossless.pipelines.placing import without_offload
from nearlossless.torch_settings import restored_torch_settings

if TYPE_CHECKING:
    from PIL import Image


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


def _check_components(pipeline: Any, touched: tuple[str, ...] | None) -> None:
    unknown = set(touched or ()) - set(pipeline.components)
    if unknown:
        raise CaseError(f"recipe touches {sorted(unknown)}; the pipeline has {sorted(pipeline.components)}")


def copy_pipeline(pipeline: Any, touched: tuple[str, ...] | None) -> Any:
    """
    A second pipeline with copies of the `touched` components (None: of all) and the others shared.

    It is offloaded as the first is; how the VAE decodes and which LoRA is loaded come with the components.
    """
    _check_components(pipeline, touched)
    names = pipeline.components.keys() if touched is None else touched
    with without_offload(pipeline) as followers:
        components = {
            name: shared_copy(part) if name in names and part is not None else part
            for name, part in pipeline.components.items()
        }
        accepted = inspect.signature(type(pipeline).__init__).parameters
        settings = {
            name: value for name, value in pipeline.config.items() if name in accepted and name not in components
        }
        second = type(pipeline)(**components, **settings)
        followers.append(second)
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
    for name in recipe.touches or (pipeline.components.keys() | recipe.quantization.keys()):
        _prepare(recipe, name, getattr(pipeline, name, None))
    return _applied(recipe, pipeline)


def build_alone(case: Case, recipe: Recipe, device: Device) -> Any:
    """
    The case under a recipe with nothing else in memory, as a user would run it.

    Quantized components come first, each before the next is put on the device, so that the peak while loading stays
    below that of the unquantized weights.

    Raises:
        BackendError, BackendUnavailable: As `build_compiled`.
        CaseError: The weights cannot be loaded, or the recipe touches what the pipeline does not have.
    """
    pipeline = build_baseline(
        case, device, on_component=lambda name, module: _prepare(recipe, name, module), first=tuple(recipe.quantization)
    )
    _check_components(pipeline, recipe.touches or tuple(recipe.quantization))
    return _applied(recipe, pipeline)


def _prepare(recipe: Recipe, name: str, module: Any) -> None:
    """Restructure and quantize one component in place, as far as the recipe touches it."""
    from torch import nn

    if not isinstance(module, nn.Module):
        if name in recipe.quantization:
            raise BackendError(f"quantization: the pipeline has no module '{name}'")
        return
    if recipe.backend == INDUCTOR:
        from nearlossless.backends import inductor

        options = {key: tuple(names) for key, names in recipe.options.items() if key in RESTRUCTURING}
        _guarded(recipe.backend, lambda: inductor.restructure(name, module, **options))
    if name in recipe.quantization:
        from nearlossless.backends.quantization import quantize

        _guarded(f"quantization of {name}", lambda: quantize(module, recipe.quantization[name]))


def _applied(recipe: Recipe, pipeline: Any) -> Any:
    """What the recipe's backend makes of a pipeline that is its own to change."""
    options = copy.deepcopy(recipe.options)
    if recipe.is_built_in and recipe.touches is not None:
        options.setdefault("components", recipe.touches)
    if recipe.backend == INDUCTOR:
        options = {key: value for key, value in options.items() if key not in RESTRUCTURING}
    # Within the guard from its import on: a module may change torch's settings as soon as it is loaded.
    compiled = _guarded(recipe.backend, lambda: resolve(recipe.backend)(pipeline, **options))
    if not callable(compiled):
        raise BackendError(
            f"{recipe.backend}: returned {type(compiled).__name__}, not a pipeline; a backend is"
            " function(pipeline, **options) -> pipeline"
        )
    return compiled


def _guarded(what: str, change: Callable[[], Any]) -> Any:
    """Let a library change a pipeline: whatever it raises is a BackendError, torch's settings come back."""
    try:
        with restored_torch_settings():
            return change()
    except (KeyboardInterrupt, BackendError, BackendUnavailable):
        raise
    except BaseException as error:  # a library may call sys.exit: it must not end the test session
        raise BackendError(f"{what}: {type(error).__name__}: {error}") from error


class BaselineChanged(Exception):
    """Applying a recipe changed what the baseline draws."""


def _rms(a: "Image.Image", b: "Image.Image") -> float:
    import numpy as np

    difference = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
    return float(np.sqrt(np.mean(difference**2)))


def check_batch_unchanged(before: Sequence[Sequence["Image.Image"]], after: Sequence["Image.Image"]) -> None:
    """`check_baseline_unchanged` for each picture of a batch that was drawn again and again."""
    for number, picture in enumerate(after):
        check_baseline_unchanged([pictures[number] for pictures in before], picture)


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
