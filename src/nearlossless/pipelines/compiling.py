"""(baseline pipeline, recipe) -> compiled pipeline, and the proof that the baseline stayed what it was."""

import copy
import inspect
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nearlossless.backends import BackendError, BackendUnavailable, resolve
from nearlossless.cases import CaseError
from nearlossless.environment import restored_torch_settings
from nearlossless.pipelines.placing import without_offload
from nearlossless.recipes import Recipe

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


def copy_pipeline(pipeline: Any, touched: tuple[str, ...] | None) -> Any:
    """
    A second pipeline with copies of the `touched` components (None: of all) and the others shared.

    It is offloaded as the first is; how the VAE decodes and which LoRA is loaded come with the components.
    """
    names = pipeline.components.keys() if touched is None else touched
    unknown = set(names) - set(pipeline.components)
    if unknown:
        raise CaseError(f"recipe touches {sorted(unknown)}; the pipeline has {sorted(pipeline.components)}")
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
