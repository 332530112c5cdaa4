"""nexfort as a backend: what it refuses anywhere, and the real library where it is installed."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from nearlossless.backends import BackendError, BackendUnavailable, nexfort, resolve
from nearlossless.backends.nexfort_probe import TRIED
from nearlossless.cases.case import Case
from nearlossless.cases.recipes import Recipe
from nearlossless.effect import measure_effect
from nearlossless.pipelines.compiling import build_compiled, copy_pipeline, shared_copy
from nearlossless.pipelines.drawing import draw
from nearlossless.pipelines.loading import build_baseline
from nearlossless.pipelines.requests import requests
from nearlossless.processes.environment import cache_environment, child_environment
from nearlossless.shapes.counting import counted_compiles

needs_nexfort = pytest.mark.skipif(importlib.util.find_spec("nexfort") is None, reason="nexfort is not installed")


class Blocks(nn.Module):
    """Two blocks, called one after the other, and a setting as diffusers' models have one."""

    config = SimpleNamespace(patch_size=2)

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([nn.Linear(32, 32), nn.Linear(32, 32)])

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Features of shape (n, 32), through both blocks."""
        for block in self.blocks:
            features = block(features).relu()
        return features


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a worker: the library was tried before; it is imported under this environment."""
    for name, value in TRIED.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(nexfort, "_imported_under", None)


def pipeline(**components: object) -> SimpleNamespace:
    """Something with components, on the CPU."""
    return SimpleNamespace(device=torch.device("cpu"), components=components, **components)


@pytest.mark.skipif("NEARLOSSLESS_REQUIRE_NEXFORT" not in os.environ, reason="only tox's env nexfort promises it")
@pytest.mark.parametrize("package", ["nexfort", "onediff", "onediffx"])
def test_promised_library_is_there(package: str) -> None:
    """Where the real library is promised, no test of it may be skipped for want of it."""
    assert importlib.util.find_spec(package) is not None


def test_backend_is_built_in() -> None:
    """It is known by its short name."""
    assert resolve("nexfort") is nexfort.apply


def test_transform_on_a_cpu_is_unavailable() -> None:
    """What runs on CUDA only says so before anything is imported or tried."""
    with pytest.raises(BackendUnavailable, match="CUDA only"):
        nexfort.apply(pipeline(transformer=Blocks()), api="transform")


@pytest.mark.parametrize("options", [{"ignores": ("vae",)}, {"by_block": True, "api": "compile_pipe"}])
def test_option_of_another_way_is_an_error(options: dict[str, Any]) -> None:
    """An option that the chosen way would ignore is refused."""
    with pytest.raises(BackendError, match="belong"):
        nexfort.apply(pipeline(transformer=Blocks()), **options)


@pytest.mark.usefixtures("tried")
def test_missing_component_is_an_error() -> None:
    """A component that the pipeline does not have is named."""
    with pytest.raises(BackendError, match="no module 'unet'"):
        nexfort.apply(pipeline(transformer=Blocks()), components=("unet",))


@pytest.mark.usefixtures("tried")
def test_blocks_of_a_module_without_any_are_an_error() -> None:
    """by_block is never quietly the whole module."""
    with pytest.raises(BackendError, match="no repeated blocks"):
        nexfort.apply(pipeline(transformer=nn.Sequential(nn.Linear(32, 32))), by_block=True)


@pytest.mark.usefixtures("tried")
def test_second_environment_in_one_process_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nexfort reads its variables once; a recipe with others is told to run apart, one with the same is not."""
    monkeypatch.setenv("NEXFORT_PLANTED", "0")
    nexfort.claim_environment()
    nexfort.claim_environment()
    monkeypatch.setenv("NEXFORT_PLANTED", "1")
    with pytest.raises(BackendUnavailable, match="NEXFORT_PLANTED"):
        nexfort.claim_environment()
    monkeypatch.delenv("NEXFORT_PLANTED")
    with pytest.raises(BackendUnavailable, match="NEXFORT_PLANTED"):
        nexfort.claim_environment()


def test_layout_is_changed_in_the_copy_only() -> None:
    """Convolutions get weights of their own in the wished layout and with the same values; the shared ones stay."""
    original = nn.Sequential(nn.Conv2d(8, 8, 3), nn.Linear(8, 8))
    copied = shared_copy(original)
    nexfort.unshare_layout(copied, "channels_last")
    convolution, linear = (dict(original.named_parameters())[name] for name in ("0.weight", "1.weight"))
    own = dict(copied.named_parameters())
    assert own["0.weight"].is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(own["0.weight"], convolution)
    assert convolution.is_contiguous()
    assert own["1.weight"] is linear


def test_unknown_layout_is_an_error() -> None:
    """A memory format that does not exist is answered with those that do."""
    with pytest.raises(ValueError, match="channels_last or contiguous_format"):
        nexfort.unshare_layout(nn.Conv2d(1, 1, 1), "channels_first")


@needs_nexfort
@pytest.mark.slow
@pytest.mark.usefixtures("tried")
@pytest.mark.parametrize("by_block", [False, True])
def test_compiled_module_computes_the_same(by_block: bool) -> None:
    """The real compiler compiles, computes what eager does, keeps attributes and leaves the caller's options alone."""
    torch.compiler.reset()
    options = {"mode": "disable-inductor", "dynamic": True, "memory_format": "channels_last"}
    given, module, features = dict(options), Blocks().eval(), torch.randn(3, 32)
    with torch.no_grad():
        expected = module(features)
        compiled = nexfort.apply(pipeline(transformer=module), options=given, by_block=by_block).transformer
        with counted_compiles() as compiles:
            obtained = compiled(features)
    assert compiles.graphs > 0
    torch.testing.assert_close(obtained, expected)
    assert compiled.config.patch_size == 2
    assert given == options


@needs_nexfort
@pytest.mark.slow
@pytest.mark.usefixtures("tried")
@pytest.mark.parametrize("by_block", [False, True])
def test_librarys_own_fallback_is_found_out(by_block: bool) -> None:
    """Compiled code shows in each call of a wrapped part; after OneDiff's process-wide switch to eager none does."""
    from onediff.infer_compiler.backends.nexfort import fallback_to_eager

    torch.compiler.reset()
    recipe, features = Recipe(backend="nexfort"), torch.randn(3, 32)
    compiled = nexfort.apply(
        pipeline(transformer=Blocks().eval()), options={"mode": "disable-inductor"}, by_block=by_block
    )
    with torch.no_grad(), counted_compiles() as compiles:
        compiled.transformer(features)
        effect = measure_effect(compiled, recipe, lambda: compiled.transformer(features), graphs=1)
        try:
            fallback_to_eager()
            with pytest.raises(BackendError, match="ran no compiled code"):
                measure_effect(compiled, recipe, lambda: compiled.transformer(features), graphs=1)
        finally:
            fallback_to_eager(value=True)
    parts = 2 if by_block else 1
    assert (compiles.graphs, effect.part_calls, effect.compiled_calls) == (parts, parts, parts)


@needs_nexfort
@pytest.mark.slow
def test_unknown_mode_is_told_by_the_library() -> None:
    """A mode that nexfort does not know is an error of the backend that names it."""
    with pytest.raises(BackendError, match="Unknown mode: bogus"):
        nexfort.apply(pipeline(transformer=Blocks()), options={"mode": "bogus"})


@needs_nexfort
@pytest.mark.slow
@pytest.mark.usefixtures("tried")
def test_compile_pipe_leaves_the_baseline_alone(quick_case: Case) -> None:
    """All that OneDiff knows of a pipeline is wrapped, in a layout of its own, and the baseline draws the same bits."""
    baseline, request = build_baseline(quick_case, "cpu"), requests(quick_case.generation)[0]
    before = draw(baseline, quick_case.generation, request).tobytes()
    inner = {"mode": "disable-inductor", "memory_format": "channels_last"}
    recipe = Recipe(backend="nexfort", options={"api": "compile_pipe", "options": inner, "ignores": ["text_encoder_2"]})
    compiled = build_compiled(baseline, recipe)
    wrapped = {name for name, part in compiled.components.items() if "Nexfort" in type(part).__name__}
    assert wrapped == {"transformer", "text_encoder"}
    assert "Nexfort" in type(compiled.vae.decoder).__name__
    assert "Nexfort" not in type(baseline.vae.decoder).__name__
    assert compiled.transformer.pos_embed.proj.weight.is_contiguous(memory_format=torch.channels_last)
    assert baseline.transformer.pos_embed.proj.weight.is_contiguous()
    assert recipe.options["options"] == {"mode": "disable-inductor", "memory_format": "channels_last"}
    assert draw(baseline, quick_case.generation, request).tobytes() == before


@needs_nexfort
@pytest.mark.slow
@pytest.mark.usefixtures("tried")
def test_compile_pipe_keeps_to_the_touched_components(quick_case: Case) -> None:
    """With `touches`, what the pipelines share is not wrapped."""
    baseline = build_baseline(quick_case, "cpu")
    options = {"api": "compile_pipe", "options": {"mode": "disable-inductor"}}
    compiled = build_compiled(baseline, Recipe(backend="nexfort", touches=("transformer",), options=options))
    assert "Nexfort" in type(compiled.transformer).__name__
    assert compiled.vae is baseline.vae
    assert "Nexfort" not in type(baseline.vae.decoder).__name__


@needs_nexfort
@pytest.mark.slow
@pytest.mark.usefixtures("tried")
def test_caches_stay_in_their_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels and nexfort's own graph cache lie in the folder that a process is given, and nothing at home."""
    code = (
        "import torch, onediff.infer_compiler as o\n"
        "m = o.compile(torch.nn.Linear(8, 8).eval(), backend='nexfort', options={'mode': 'max-optimize'})\n"
        "torch.no_grad().__enter__(); m(torch.ones(3, 8))"
    )
    home, caches = tmp_path / "home", tmp_path / "caches"
    home.mkdir()
    extra = {**cache_environment(caches), "HOME": str(home), "TMPDIR": str(home), "NEXFORT_GRAPH_CACHE": "1"}
    subprocess.run([sys.executable, "-c", code], env=child_environment(extra), check=True, capture_output=True)
    assert list(home.rglob("*")) == []
    assert list(caches.glob("inductor/compiledgraph/*"))


@needs_nexfort
@pytest.mark.usefixtures("tried")
def test_wrapper_is_a_component(quick_case: Case) -> None:
    """The wrapped transformer stands among the pipeline's components, and moves and tells its dtype as before."""
    baseline = build_baseline(quick_case, "cpu")
    second = copy_pipeline(baseline, ("transformer",))
    compiled = nexfort.apply(second, options={"mode": "disable-inductor"})
    assert compiled.components["transformer"] is compiled.transformer
    assert compiled.to("cpu") is compiled
    assert compiled.transformer.dtype is torch.float32
    assert sum(p.numel() for p in compiled.transformer.parameters()) == sum(
        p.numel() for p in baseline.transformer.parameters()
    )
