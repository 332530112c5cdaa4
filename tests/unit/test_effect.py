"""A recipe that fell back to eager is found out. Dynamo's own eager backend compiles without a compiler."""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch._dynamo
from torch import nn

from nearlossless.backends import BackendError
from nearlossless.cases.case import Case
from nearlossless.cases.recipes import Recipe
from nearlossless.effect import Effect, measure_effect, shortfalls
from nearlossless.measuring.building import compile_beside
from nearlossless.pipelines.loading import build_baseline
from nearlossless.processes import worker
from nearlossless.processes.job import Job
from nearlossless.progress import Progress
from nearlossless.runs.selection import Subject
from nearlossless.shapes.counting import Compiles, counted_compiles

BUILT_IN = Recipe(backend="inductor", touches=("transformer",))
USERS_OWN = Recipe(backend="my.package:fast", touches=("transformer",))
COMPILED = Recipe(backend="nexfort", touches=("transformer",))
TRANSFORMED = Recipe(backend="nexfort", touches=("transformer",), options={"api": "transform"})
QUANTIZED = BUILT_IN.model_copy(update={"quantization": {"transformer": "int8", "text_encoder_3": "int8"}})
SOUND = Effect(graphs=1, part_calls=4, compiled_calls=4, quantized_layers={}, kernels=())


@pytest.fixture(autouse=True)
def _fresh_dynamo() -> Iterator[None]:
    torch.compiler.reset()
    yield
    torch.compiler.reset()


class Block(nn.Module):
    """One linear block."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 4) -> (B, 4)."""
        return torch.relu(self.linear(x))


class DisabledBlock(Block):
    """A block that forbids compilation, as libraries do for parts that once broke."""

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 4) -> (B, 4)."""
        return super().forward(x)


def fails(_graph: Any, _inputs: Any) -> Callable[..., Any]:
    """A compiler that always fails."""
    raise RuntimeError("no kernel for you")


def built(
    *blocks: nn.Module, backend: str | Callable[..., Any] = "eager"
) -> tuple[SimpleNamespace, Callable[[], Any], Compiles]:
    """A pipeline of blocks marked for compilation, its call, and what its first call compiled."""
    pipeline = SimpleNamespace(transformer=nn.Sequential(*blocks), scheduler=object())
    for block in blocks:
        block.compile(backend=backend, dynamic=True)

    def call() -> Any:
        with torch.no_grad():
            return pipeline.transformer(torch.ones(3, 4))

    with counted_compiles() as compiles:
        call()
    return pipeline, call, compiles


def test_compiled_pipeline_shows_its_effect() -> None:
    """A short call of two blocks calls two compiled parts and runs compiled code as often."""
    pipeline, call, compiles = built(Block(), Block())
    effect = measure_effect(pipeline, BUILT_IN, call, graphs=compiles.graphs)
    assert (effect.graphs, effect.part_calls, effect.compiled_calls) == (compiles.graphs, 2, 2)


def test_component_that_is_never_called_is_told() -> None:
    """A component marked for compilation that no call reaches fell back as surely as one that runs eager."""
    pipeline, call, compiles = built(Block())
    pipeline.vae = Block()
    pipeline.vae.compile(backend="eager")
    with pytest.raises(BackendError, match="called no compiled part of vae"):
        measure_effect(pipeline, BUILT_IN, call, graphs=compiles.graphs)


def test_measuring_compiles_nothing_and_leaves_the_pipeline() -> None:
    """Neither the profiled call nor the calls after it compile anything, and every module is as it was."""
    pipeline, call, compiles = built(Block(), Block())
    before = [block._compiled_call_impl for block in pipeline.transformer]
    with counted_compiles() as later:
        measure_effect(pipeline, BUILT_IN, call, graphs=compiles.graphs)
        call()
    assert later.total == 0
    assert [block._compiled_call_impl for block in pipeline.transformer] == before


def test_failing_compiler_with_suppressed_errors_is_found_out() -> None:
    """With suppress_errors Dynamo runs a block eagerly when its compiler fails, and says so in a log at most."""
    with torch._dynamo.config.patch(suppress_errors=True):
        pipeline, call, compiles = built(Block(), backend=fails)
    with pytest.raises(BackendError, match=r"silently fell back to eager: .*ran no compiled code"):
        measure_effect(pipeline, BUILT_IN, call, graphs=compiles.graphs)


def test_disabled_forward_is_found_out() -> None:
    """A block that forbids compilation compiles no graph."""
    pipeline, call, compiles = built(DisabledBlock())
    with pytest.raises(BackendError, match="compiled no graph, ran no compiled code"):
        measure_effect(pipeline, BUILT_IN, call, graphs=compiles.graphs)


def test_one_eager_block_among_compiled_ones_is_found_out() -> None:
    """A part that runs eagerly is told although the others run compiled code."""
    pipeline, call, compiles = built(Block(), DisabledBlock())
    with pytest.raises(BackendError, match="ran compiled code in 1 of 2 calls"):
        measure_effect(pipeline, BUILT_IN, call, graphs=compiles.graphs)


def test_reached_recompile_limit_is_found_out() -> None:
    """Beyond its limit of recompilations Dynamo runs eagerly: graphs are there, but no compiled code runs."""
    pipeline = SimpleNamespace(transformer=Block())
    pipeline.transformer.compile(backend="eager", dynamic=False)
    limit = "recompile_limit" if hasattr(torch._dynamo.config, "recompile_limit") else "cache_size_limit"
    with torch._dynamo.config.patch({limit: 1}), torch.no_grad(), counted_compiles() as compiles:
        for length in (3, 5):
            pipeline.transformer(torch.ones(length, 4))
        with pytest.raises(BackendError, match="ran no compiled code"):
            measure_effect(pipeline, BUILT_IN, lambda: pipeline.transformer(torch.ones(5, 4)), graphs=1)
    assert compiles.graphs == 1


def test_users_own_backend_is_recorded_not_required() -> None:
    """A user's backend need not use Dynamo: what it did is recorded as it is."""
    pipeline = SimpleNamespace(transformer=Block())
    effect = measure_effect(pipeline, USERS_OWN, lambda: pipeline.transformer(torch.ones(3, 4)), graphs=0)
    assert (effect.graphs, effect.part_calls, effect.compiled_calls) == (0, 0, 0)


def test_quantization_that_filtered_everything_out_is_found_out() -> None:
    """A recipe that names quantization and quantized no layer is told by component."""
    pipeline, call, compiles = built(Block())
    pipeline.text_encoder_3 = Block()
    with pytest.raises(BackendError, match="quantized no layer of transformer, quantized no layer of text_encoder_3"):
        measure_effect(pipeline, QUANTIZED, call, graphs=compiles.graphs)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, []),
        ({"graphs": 0}, ["compiled no graph"]),
        ({"compiled_calls": 0}, ["ran no compiled code"]),
        ({"compiled_calls": 3}, ["ran compiled code in 3 of 4 calls of its compiled parts"]),
        ({"compiled_calls": 5}, []),
        (
            {"graphs": 0, "compiled_calls": 0, "kernels": ("nexfort::linear",)},
            ["compiled no graph", "ran no compiled code"],
        ),
        ({"quantized_layers": {"transformer": 1, "text_encoder_3": 0}}, ["quantized no layer of text_encoder_3"]),
        ({"quantized_layers": {"transformer": 1}}, []),
    ],
)
def test_each_shortfall_is_named(changes: dict[str, Any], found: list[str]) -> None:
    """Every figure that is short is named, and nothing else; a kernel of the backend's own proves no compilation."""
    assert shortfalls(SOUND.model_copy(update=changes), QUANTIZED) == found


class Replaced(Block):
    """A block of the kind that nexfort's `transform` puts in place."""


Replaced.__module__ = "nexfort.nn.modules_for_sd35"


class Wrapped(nn.Module):
    """A wrapper of the kind that OneDiff compiles with: it calls what it made, or falls back to the module itself."""

    def __init__(self, module: nn.Module, *, eager: bool) -> None:
        super().__init__()
        self.inner = [module if eager else torch.compile(module, backend="eager", dynamic=True)]

    def forward(self, x: torch.Tensor) -> Any:
        """(B, 4) -> (B, 4)."""
        return self.inner[0](x)


Wrapped.__module__ = "onediff.infer_compiler.backends.nexfort.deployable_module"


def of_wrappers(*wrappers: nn.Module) -> tuple[SimpleNamespace, Callable[[], Any], Compiles]:
    """A pipeline of OneDiff's wrappers, its call, and what its first call compiled."""
    pipeline = SimpleNamespace(transformer=nn.Sequential(*wrappers))

    def call() -> Any:
        with torch.no_grad():
            return pipeline.transformer(torch.ones(3, 4))

    with counted_compiles() as compiles:
        call()
    return pipeline, call, compiles


def test_wrapped_blocks_show_their_effect() -> None:
    """Each call of a wrapper of OneDiff's is a call of a compiled part, and none is left with a hook."""
    pipeline, call, compiles = of_wrappers(Wrapped(Block(), eager=False), Wrapped(Block(), eager=False))
    effect = measure_effect(pipeline, COMPILED, call, graphs=compiles.graphs)
    assert (effect.part_calls, effect.compiled_calls, effect.replaced_calls) == (2, 2, 0)
    assert not any(part._forward_pre_hooks for part in pipeline.transformer.modules())


def test_wrapper_that_fell_back_is_found_out() -> None:
    """A wrapper that calls its module eagerly is told although another one runs compiled code."""
    pipeline, call, compiles = of_wrappers(Wrapped(Block(), eager=False), Wrapped(Block(), eager=True))
    with pytest.raises(BackendError, match="nexfort: silently fell back to eager: ran compiled code in 1 of 2 calls"):
        measure_effect(pipeline, COMPILED, call, graphs=compiles.graphs)


def test_wrapper_that_nobody_calls_is_found_out() -> None:
    """A component whose wrapper is never called is named, although another component runs compiled code."""
    pipeline, call, compiles = of_wrappers(Wrapped(Block(), eager=False))
    pipeline.vae = Wrapped(Block(), eager=False)
    with pytest.raises(BackendError, match="called no compiled part of vae"):
        measure_effect(pipeline, COMPILED, call, graphs=compiles.graphs)


def test_transform_shows_its_effect_by_calls_of_its_modules() -> None:
    """What `transform` puts in place needs no graph of Dynamo's, but it has to be called."""
    pipeline = SimpleNamespace(transformer=nn.Sequential(Replaced(), Block()))
    effect = measure_effect(pipeline, TRANSFORMED, lambda: pipeline.transformer(torch.ones(3, 4)), graphs=0)
    assert effect.replaced_calls == 1


@pytest.mark.parametrize("blocks", [(Block(),), (Block(), Replaced())], ids=["replaced nothing", "never called"])
def test_transform_without_effect_is_found_out(blocks: tuple[nn.Module, ...]) -> None:
    """A pipeline in which no module of nexfort's is called was not transformed, whatever Dynamo compiled."""
    pipeline = SimpleNamespace(transformer=nn.ModuleList(blocks))
    with pytest.raises(BackendError, match="called no module of nexfort's"):
        measure_effect(pipeline, TRANSFORMED, lambda: pipeline.transformer[0](torch.ones(3, 4)), graphs=3)


@pytest.fixture
def _lost_compilation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Module.compile does nothing, as if the marking had been lost on the way."""
    monkeypatch.setattr(nn.Module, "compile", lambda *_args, **_options: None)
    monkeypatch.setattr("nearlossless.backends.inductor.find_compiler", lambda: "g++")


@pytest.mark.usefixtures("_lost_compilation")
def test_session_refuses_a_recipe_without_effect(quick_case: Case) -> None:
    """Beside the baseline, a built-in recipe that compiled nothing ends in an error, however right its picture is."""
    subject = Subject(
        case=quick_case, case_folder=Path(), recipe_name="inductor", recipe=BUILT_IN, device="cpu", is_named=True
    )
    with pytest.raises(BackendError, match="inductor: silently fell back to eager: compiled no graph"):
        compile_beside(build_baseline(quick_case, "cpu"), subject, Progress(lambda _line: None))


@pytest.mark.usefixtures("_lost_compilation")
def test_worker_refuses_a_recipe_without_effect(quick_case: Case) -> None:
    """A process of its own refuses it too, so that its memory and start-up never pass for the recipe's."""
    with pytest.raises(BackendError, match="inductor: silently fell back to eager: compiled no graph"):
        worker.run(Job(case=quick_case, recipe=BUILT_IN, device="cpu"), lambda _phase: None)


def test_users_own_callable_need_not_have_the_quantized_component() -> None:
    """A user's backend may return a function alone: no quantized layer is seen in it, and nothing fails."""
    recipe = USERS_OWN.model_copy(update={"quantization": {"transformer": "int8"}})
    effect = measure_effect(lambda: None, recipe, lambda: None, graphs=0)
    assert effect.quantized_layers == {"transformer": 0}
