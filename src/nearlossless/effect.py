"""Proof that a recipe took effect: graphs compiled, compiled code run, layers quantized, kernels seen."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pydantic import BaseModel, ConfigDict

from nearlossless.backends import BackendError
from nearlossless.cases.recipes import Recipe
from nearlossless.environment import environment_variables
from nearlossless.fields import Int64

# How the profiler names a call into what Dynamo compiled: with the graph's number since torch 2.5, without before.
_COMPILED_REGION = "Torch-Compiled Region"
# Packages of the classes that OneDiff's `compile` wraps modules in, and of those that `transform` puts in place.
_WRAPPERS, _REPLACEMENTS = "onediff.", "nexfort.nn."
# Launches of compiled kernels carry the kernel's name on the CPU side too, so that no GPU tracing is needed.
_BACKEND_KERNEL = re.compile(r"^triton_|nexfort", re.IGNORECASE)
# Of the profiler's own log: torch 2.13 writes two lines a trace to stderr at level 5, in whatever prints results.
_TRACER_LEVEL = "KINETO_LOG_LEVEL"


class Effect(BaseModel):
    """What a recipe did to a pipeline, seen over its first call and over one short call after it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    graphs: Int64  # compiled by Dynamo for the first call
    graph_breaks: Int64 = 0  # met by Dynamo in the first call
    frames: Int64 = 0  # looked at by Dynamo in the first call
    part_calls: Int64  # calls of modules that were marked or wrapped for compilation, in the short call
    uncalled: tuple[str, ...] = ()  # components with such modules, none of which was called
    compiled_calls: Int64  # calls into compiled code, in the short call
    replaced_calls: Int64 = 0  # calls of modules that nexfort's `transform` put in place, in the short call
    quantized_layers: dict[str, Int64]  # by component that the recipe quantizes
    kernels: tuple[str, ...]  # of the backend, launched in the short call


def shortfalls(effect: Effect, recipe: Recipe) -> list[str]:
    """What a built-in recipe promises and did not do; a user's own backend promises nothing that can be counted."""
    if not recipe.is_built_in:
        return []
    found = _unreplaced(effect) if recipe.transforms else _uncompiled(effect)
    found += [f"quantized no layer of {name}" for name, count in effect.quantized_layers.items() if not count]
    return found


def _unreplaced(effect: Effect) -> list[str]:
    return [] if effect.replaced_calls else ["called no module of nexfort's"]


def _uncompiled(effect: Effect) -> list[str]:
    found = []
    if not effect.graphs:
        found.append("compiled no graph")
    if effect.uncalled:
        found.append(f"called no compiled part of {', '.join(effect.uncalled)}")
    if not effect.compiled_calls:
        found.append("ran no compiled code")
    elif effect.compiled_calls < effect.part_calls:
        found.append(f"ran compiled code in {effect.compiled_calls} of {effect.part_calls} calls of its compiled parts")
    return found


def measure_effect(pipeline: Any, recipe: Recipe, short_call: Callable[[], object], *, graphs: int) -> Effect:
    """
    Profile one short call of a pipeline that has been called before, and count its quantized layers.

    Args:
        pipeline: Under the recipe.
        recipe: What was applied.
        short_call: Draws a picture in a few steps, at a size that was drawn before.
        graphs: What Dynamo compiled for the first call.

    Raises:
        BackendError: The call failed, or the recipe is built in and fell back to eager, fully or in part.
    """
    from torch.profiler import ProfilerActivity, profile

    # CPU activity only: CUDA's tracer, once started, slows every later launch of the process.
    with (
        _counted_marked_calls(pipeline) as marked_calls,
        _counted_calls(pipeline, _WRAPPERS) as wrapper_calls,
        _counted_calls(pipeline, _REPLACEMENTS if recipe.transforms else None) as replaced_calls,
        environment_variables({_TRACER_LEVEL: os.environ.get(_TRACER_LEVEL, "6")}),
        profile(activities=[ProfilerActivity.CPU]) as profiled,
    ):
        short_call()
    names = [event.name for event in profiled.events()]
    effect = Effect(
        graphs=graphs,
        part_calls=len(marked_calls) + len(wrapper_calls),
        uncalled=tuple(sorted(_compiled_components(pipeline) - {*marked_calls, *wrapper_calls})),
        compiled_calls=sum(name.startswith(_COMPILED_REGION) for name in names),
        replaced_calls=len(replaced_calls),
        quantized_layers={name: _quantized_layers(pipeline, name) for name in recipe.quantization},
        kernels=tuple(sorted({name for name in names if _BACKEND_KERNEL.search(name)})),
    )
    if missing := shortfalls(effect, recipe):
        raise BackendError(
            f"{recipe.backend}: silently fell back to eager: {', '.join(missing)}; TORCH_LOGS=graph_breaks,recompiles"
            " tells why"
        )
    return effect


def _quantized_layers(pipeline: Any, component: str) -> int:
    from nearlossless.backends.quantization import quantized_layers

    part = getattr(pipeline, component, None)  # a user's own callable need not have it
    return quantized_layers(part) if part is not None else 0


def _components(pipeline: Any) -> dict[str, Any]:
    from torch import nn

    return {name: part for name, part in getattr(pipeline, "__dict__", {}).items() if isinstance(part, nn.Module)}


def _compiled_components(pipeline: Any) -> set[str]:
    """Names of the components with modules that were marked by `Module.compile` or wrapped by OneDiff."""
    return {
        name
        for name, whole in _components(pipeline).items()
        if any(part._compiled_call_impl or type(part).__module__.startswith(_WRAPPERS) for part in whole.modules())
    }


@contextmanager
def _counted_calls(pipeline: Any, package: str | None) -> Iterator[list[str]]:
    """A list that gets the component's name for each call of a module whose class comes from a package."""
    calls: list[str] = []

    def counting(component: str) -> Callable[[Any, Any], None]:
        return lambda _part, _inputs: calls.append(component)

    hooks = [
        part.register_forward_pre_hook(counting(name))
        for name, whole in _components(pipeline).items()
        for part in whole.modules()
        if package is not None and type(part).__module__.startswith(package)
    ]
    try:
        yield calls
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def _counted_marked_calls(pipeline: Any) -> Iterator[list[str]]:
    """A list that gets the component's name for each call of a module on which `Module.compile` was called."""
    calls: list[str] = []

    def counting(compiled: Any, component: str) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            calls.append(component)
            return compiled(*args, **options)

        return call

    before = {
        part: (part._compiled_call_impl, name)
        for name, component in _components(pipeline).items()
        for part in component.modules()
        if part._compiled_call_impl is not None
    }
    try:
        for part, (compiled, name) in before.items():
            part._compiled_call_impl = counting(compiled, name)
        yield calls
    finally:
        for part, (compiled, _) in before.items():
            part._compiled_call_impl = compiled
