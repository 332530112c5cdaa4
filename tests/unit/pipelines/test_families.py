"""Any text-to-image pipeline can be a case: SD3, FLUX and SDXL, made small, are built, drawn, copied and compiled."""

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from nearlossless.backends import BackendError, denoiser
from nearlossless.backends.blocks import repeated_blocks
from nearlossless.cases.case import Case, CaseError
from nearlossless.cases.files import load_case
from nearlossless.cases.recipes import Recipe
from nearlossless.pipelines.compiling import build_compiled, copy_pipeline
from nearlossless.pipelines.drawing import call, draw, latents_sha256
from nearlossless.pipelines.loading import build_baseline, weights_name
from nearlossless.pipelines.requests import batches, requests, size_requests
from nearlossless.shapes.counting import counted_compiles

DENOISERS = {"sd35-large": "transformer", "sd35-medium": "transformer", "flux1-dev": "transformer", "sdxl": "unet"}
FAMILIES = sorted(DENOISERS)


def attention_knows_gqa() -> bool:
    """Whether torch's attention has the argument that diffusers' FLUX passes it; it came with torch 2.5."""
    probe = torch.zeros(1, 1, 1, 1)
    try:
        nn.functional.scaled_dot_product_attention(probe, probe, probe, enable_gqa=False)
    except TypeError:
        return False
    return True


FLUX = pytest.param(
    "flux1-dev",
    marks=pytest.mark.xfail(
        not attention_knows_gqa(), reason="diffusers' FLUX needs torch 2.5", raises=(BackendError, TypeError)
    ),
)
DRAWN = [FLUX, "sd35-large", "sd35-medium", "sdxl"]
SIZES = [(64, 64), (64, 96), (80, 112)]  # latents of 80x112 are odd for a UNet that halves them twice
PUBLISHED = {  # steps and guidance of the model cards, or of the benchmark that the case repeats
    "sd35-large": (28, 3.5, None),
    "sd35-large-synthetic": (28, 3.5, None),
    "sd35-medium": (40, 4.5, None),
    "flux1-dev": (50, 3.5, 512),
    "sdxl": (50, 5.0, None),
}
Shrunken = dict[str, Path]
MakeCase = Callable[..., Case]


def first_bits(pipeline: Any, case: Case) -> bytes:
    """The pixels of the case's first picture."""
    return draw(pipeline, case.generation, requests(case.generation)[0]).tobytes()


@pytest.mark.parametrize("name", PUBLISHED)
def test_full_size_cases_have_published_settings(shipped_baselines: Path, name: str) -> None:
    """The shipped full-size cases draw as published, on CUDA only, and never unless they are named."""
    case = load_case(shipped_baselines / name)
    generation = case.generation
    assert (generation.steps, generation.guidance_scale, generation.max_sequence_length) == PUBLISHED[name]
    assert (generation.height, generation.width, case.default, case.devices) == (1024, 1024, False, ("cuda",))
    assert case.model.weights == "synthetic" or len(case.model.revision or "") == 40


def test_synthetic_case_draws_what_the_trained_one_draws(shipped_baselines: Path) -> None:
    """SD3.5-Large's two cases differ in their weights and in nothing that is drawn."""
    trained, synthetic = (load_case(shipped_baselines / name) for name in ("sd35-large", "sd35-large-synthetic"))
    assert synthetic.generation == trained.generation
    assert len(synthetic.generation.sizes) == 49
    assert weights_name(synthetic).startswith("synthetic:sd35-large@")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("family", DRAWN)
def test_family_draws_and_stays_finite(family: str, dtype: str, shrunken: Shrunken, synthetic_case: MakeCase) -> None:
    """Every activation of every step is finite and bounded, and the picture is neither flat nor black and white."""
    case = synthetic_case(shrunken[family], dtype, steps=28)
    pipeline, largest = build_baseline(case, "cpu"), list[float]()

    def watch(_module: nn.Module, _inputs: Any, output: Any) -> None:
        for value in output if isinstance(output, tuple) else (output,):
            if isinstance(value, torch.Tensor):
                largest.append(float(value.detach().float().abs().max()))

    parts = [part for part in pipeline.components.values() if isinstance(part, nn.Module)]
    for module in (module for part in parts for module in part.modules()):
        module.register_forward_hook(watch)
    picture = draw(pipeline, case.generation, requests(case.generation)[0])
    assert len(largest) > 28 * 10
    assert np.isfinite(largest).all()
    assert max(largest) < 2000  # far from fp16's 65504; SDXL's decoder is the largest
    assert 10 < np.asarray(picture, dtype=float).std() < 120


@pytest.mark.parametrize("family", DRAWN[:3])
def test_latents_keep_their_order(family: str, shrunken: Shrunken, synthetic_case: MakeCase) -> None:
    """Latents that start at unit variance end at unit order after 28 guided steps."""
    case, deviations = synthetic_case(shrunken[family], steps=28), list[float]()

    def record(_pipeline: Any, _step: int, _time: Any, values: dict[str, Any]) -> dict[str, Any]:
        deviations.append(float(values["latents"].std()))
        return values

    pipeline = build_baseline(case, "cpu")
    call(pipeline, case.generation, batches(case.generation)[0], callback_on_step_end=record)
    assert deviations[0] == pytest.approx(1.0, abs=0.1)
    assert 0.3 < deviations[-1] < 5


@pytest.mark.parametrize("family", DRAWN)
def test_prompt_and_seed_matter(family: str, shrunken: Shrunken, synthetic_case: MakeCase) -> None:
    """Another prompt or another seed draws another picture, the same ones the same bits."""
    case = synthetic_case(shrunken[family], prompts=["blue ring", "green star"], seeds=[20, 21])
    pipeline = build_baseline(case, "cpu")
    pictures = [draw(pipeline, case.generation, request).tobytes() for request in requests(case.generation)]
    assert len(set(pictures)) == 4
    assert first_bits(pipeline, case) == pictures[0]


@pytest.mark.parametrize("family", DRAWN)
def test_copy_draws_the_same_bits(family: str, shrunken: Shrunken, synthetic_case: MakeCase) -> None:
    """A copy that shares the weights draws the original's bits, whether the denoiser or everything is copied."""
    case = synthetic_case(shrunken[family])
    pipeline = build_baseline(case, "cpu")
    before, name = first_bits(pipeline, case), DENOISERS[family]
    for touched in ((name,), None):
        second = copy_pipeline(pipeline, touched)
        assert getattr(second, name) is not getattr(pipeline, name)
        assert first_bits(second, case) == before
    assert {**second.config} == {**pipeline.config}


@pytest.mark.parametrize("family", FAMILIES)
def test_denoiser_is_what_is_compiled(family: str, shrunken: Shrunken, synthetic_case: MakeCase) -> None:
    """Without a word about components, the denoiser's transformer blocks are compiled and the baseline's are not."""
    pipeline = build_baseline(synthetic_case(shrunken[family]), "cpu")
    compiled = build_compiled(pipeline, Recipe(backend="inductor"))
    assert denoiser(pipeline) == DENOISERS[family]
    blocks = repeated_blocks(getattr(compiled, DENOISERS[family]))
    assert len(blocks) > 1
    assert all("TransformerBlock" in type(block).__name__ for block in blocks)
    parts = [part for part in compiled.components.values() if isinstance(part, nn.Module)]
    assert {module for part in parts for module in part.modules() if module._compiled_call_impl is not None} == set(
        blocks
    )
    assert not any(m._compiled_call_impl for m in getattr(pipeline, DENOISERS[family]).modules())


def test_pipeline_without_denoiser_is_an_error() -> None:
    """A pipeline with neither a transformer nor a UNet asks for the components to compile."""
    with pytest.raises(BackendError, match="components"):
        denoiser(SimpleNamespace(prior=nn.Linear(1, 1), unet=None))


@pytest.mark.slow
@pytest.mark.parametrize("family", [FLUX, "sd35-medium", "sdxl"])
def test_compiled_family_draws_the_baseline_at_every_size(
    family: str, shrunken: Shrunken, synthetic_case: MakeCase
) -> None:
    """Compiled by block, each family draws what its baseline draws, and a new size or an odd one compiles nothing."""
    case = synthetic_case(shrunken[family], sizes=SIZES)
    pipeline = build_baseline(case, "cpu")
    compiled = build_compiled(pipeline, Recipe(backend="inductor", touches=(DENOISERS[family],)))
    counts = []
    for request in size_requests(case.generation):
        with counted_compiles() as compiles:
            obtained = np.asarray(draw(compiled, case.generation, request), dtype=float)
        expected = np.asarray(draw(pipeline, case.generation, request), dtype=float)
        counts.append(compiles.total)
        assert np.abs(obtained - expected).mean() < 1.0
    assert counts[0] >= 1
    assert counts[2:] == [0]  # the second size may show Dynamo which sizes vary


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_saved_pipeline_is_a_case_of_trained_weights(
    shrunken: Shrunken, synthetic_case: MakeCase, tmp_path: Path, dtype: str
) -> None:
    """An SDXL saved with save_pretrained loads from its folder and draws as before, to one level of 255."""
    case = synthetic_case(shrunken["sdxl"], dtype)
    built = build_baseline(case, "cpu")
    built.save_pretrained(tmp_path, safe_serialization=True)
    model = case.model.model_copy(update={"source": str(tmp_path), "weights": "trained"})
    saved = case.model_copy(update={"model": model})
    pictures = [
        np.frombuffer(first_bits(*drawn), np.uint8) for drawn in ((built, case), (build_baseline(saved, "cpu"), saved))
    ]
    assert np.abs(np.subtract(*pictures, dtype=np.int16)).max() <= 1
    assert weights_name(saved).startswith(f"{tmp_path}@")


def test_sequence_length_without_t5_is_told(shrunken: Shrunken, synthetic_case: MakeCase) -> None:
    """SDXL takes no max_sequence_length: a case that sets it is told so before anything is drawn."""
    with pytest.raises(CaseError, match=r"max_sequence_length.*StableDiffusionXLPipeline"):
        build_baseline(synthetic_case(shrunken["sdxl"], max_sequence_length=77), "cpu")


@pytest.mark.parametrize("family", DRAWN)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_initial_latents_are_those_of_the_pipeline(
    shrunken: Shrunken, synthetic_case: MakeCase, monkeypatch: pytest.MonkeyPatch, family: str, dtype: str
) -> None:
    """The hash of a request's initial latents is that of what the pipeline itself draws noise for; seeds differ."""
    case = synthetic_case(shrunken[family], dtype, height=80, width=112, sizes=[(80, 112)], seeds=[20, 21], steps=1)
    pipeline, drawn = build_baseline(case, "cpu"), []
    module = sys.modules[type(pipeline).__module__]
    original = module.randn_tensor

    def noted(*arguments: Any, **options: Any) -> torch.Tensor:
        noise: torch.Tensor = original(*arguments, **options)
        drawn.append(hashlib.sha256(noise.contiguous().view(torch.uint8).numpy().tobytes()).hexdigest())
        return noise

    monkeypatch.setattr(module, "randn_tensor", noted)
    asked = requests(case.generation)
    for request in asked:
        draw(pipeline, case.generation, request)
    assert drawn == [latents_sha256(pipeline, request, dtype) for request in asked]
    assert len(set(drawn)) == 2


def test_pipeline_without_a_decoder_has_no_known_latents(miniature_case: Case) -> None:
    """Of a pipeline that does not tell the shape of its latents, none are hashed."""
    assert latents_sha256(SimpleNamespace(), requests(miniature_case.generation)[0], "float32") is None
