"""Offloaded pipelines beside each other, and the switches of the VAE."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import accelerate
import pytest
import torch
from PIL import Image

from nearlossless.backends import BackendError
from nearlossless.cases.case import Case, CaseError, Model, Offload
from nearlossless.cases.recipes import Recipe
from nearlossless.cases.thresholds import Thresholds
from nearlossless.fields import Device
from nearlossless.measuring.building import compile_beside
from nearlossless.measuring.recording import record_baseline
from nearlossless.measuring.sizes import cycle_sizes
from nearlossless.measuring.step_parity import measure_parity
from nearlossless.metrics.pixels import Pixels
from nearlossless.metrics.structure import ssim
from nearlossless.pipelines.compiling import copy_pipeline
from nearlossless.pipelines.drawing import draw
from nearlossless.pipelines.loading import build_baseline
from nearlossless.pipelines.placing import offload_of, place, without_offload
from nearlossless.pipelines.requests import requests
from nearlossless.progress import Progress
from nearlossless.record.quality import ParityRecord
from nearlossless.runs.selection import Subject

OFFLOADS: tuple[Offload, ...] = ("model", "sequential")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU that torch can use")


def changed(case: Case, **model: Any) -> Case:
    """The case with another model table, not checked again, so that a CPU may stand in for the GPU."""
    return case.model_copy(update={"model": case.model.model_copy(update=model)})


def first_picture(pipeline: Any, case: Case) -> Image.Image:
    """The case's first picture."""
    return draw(pipeline, case.generation, requests(case.generation)[0])


@pytest.fixture
def _cpu_as_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Diffusers asks for the device "cpu:0", which torch holds for another than "cpu" and copies every weight to."""
    real = accelerate.cpu_offload
    monkeypatch.setattr(accelerate, "cpu_offload", lambda part, _device, **kw: real(part, torch.device("cpu"), **kw))


@pytest.fixture(scope="module")
def plain(tiny_case: Case) -> bytes:
    """What the pipeline draws when it is not offloaded."""
    return first_picture(build_baseline(tiny_case, "cpu"), tiny_case).tobytes()


@pytest.mark.usefixtures("_cpu_as_gpu")
@pytest.mark.parametrize("touched", [("transformer",), None], ids=["transformer", "all"])
@pytest.mark.parametrize("offload", OFFLOADS)
def test_offloaded_pipelines_alternate(
    tiny_case: Case, plain: bytes, offload: Offload, touched: tuple[str, ...] | None
) -> None:
    """An offloaded baseline and its copy draw in any order, each time the bits of a pipeline that is not offloaded."""
    baseline = build_baseline(changed(tiny_case, offload=offload), "cpu")
    second = copy_pipeline(baseline, touched)
    for pipeline in (baseline, second, second, baseline, baseline, second):
        assert first_picture(pipeline, tiny_case).tobytes() == plain
        assert offload_of(pipeline) == offload


def parity_beside(
    baseline: Any, case: Case, device: Device, make_subject: Callable[..., Subject], silent: Progress
) -> ParityRecord:
    """Step parity of an offloaded baseline and its copy, whose first block computes something else."""
    second = copy_pipeline(baseline, ("transformer",))
    with without_offload(second):
        norm = second.transformer.transformer_blocks[1].attn.norm_q
        norm.weight = torch.nn.Parameter(norm.weight * 1.1)
    strict = case.model_copy(update={"thresholds": Thresholds(max_parity_ratio=1.5)})
    subject = make_subject(strict, Recipe(backend="inductor"), device)
    return measure_parity(record_baseline(baseline, strict), second, subject, silent)


@pytest.mark.usefixtures("_cpu_as_gpu")
@pytest.mark.parametrize("offload", OFFLOADS)
def test_offloaded_pipelines_have_the_parity_of_resident_ones(
    tiny_case: Case, plain: bytes, offload: Offload, make_subject: Callable[..., Subject], silent: Progress
) -> None:
    """Distances, and the block that diverges, are those of pipelines that are not offloaded; both draw as before."""
    expected = parity_beside(build_baseline(tiny_case, "cpu"), tiny_case, "cpu", make_subject, silent)
    baseline = build_baseline(changed(tiny_case, offload=offload), "cpu")
    assert parity_beside(baseline, tiny_case, "cpu", make_subject, silent) == expected
    assert "transformer_blocks.1" in str(expected.divergence)
    assert first_picture(baseline, tiny_case).tobytes() == plain


@pytest.mark.usefixtures("_cpu_as_gpu")
@pytest.mark.parametrize("offload", OFFLOADS)
def test_offloaded_copy_shares_all_weights(tiny_case: Case, offload: Offload) -> None:
    """Offloading both pipelines costs no second copy of the weights, also after each drew."""
    baseline = build_baseline(changed(tiny_case, offload=offload), "cpu")
    second = copy_pipeline(baseline, ("transformer",))
    first_picture(baseline, tiny_case)
    first_picture(second, tiny_case)
    with without_offload(baseline), without_offload(second):
        mine, theirs = (dict(pipeline.transformer.named_parameters()) for pipeline in (baseline, second))
        assert all(mine[name].data_ptr() == theirs[name].data_ptr() for name in mine)


@pytest.mark.usefixtures("_cpu_as_gpu")
def test_sequential_offload_takes_weights_off_their_modules(tiny_case: Case) -> None:
    """Between calls the offloaded weights lie outside of the modules, and inside `without_offload` they are back."""
    pipeline = build_baseline(changed(tiny_case, offload="sequential"), "cpu")
    assert {weight.device.type for weight in pipeline.transformer.parameters()} == {"meta"}
    with without_offload(pipeline):
        assert offload_of(pipeline) is None
        assert {weight.device.type for weight in pipeline.transformer.parameters()} == {"cpu"}
    assert offload_of(pipeline) == "sequential"


def test_call_that_fails_brings_offloaded_parts_back(tiny_case: Case, plain: bytes) -> None:
    """After a call that ended in the middle the pipeline is offloaded again, and the other one draws its bits."""
    baseline = build_baseline(changed(tiny_case, offload="model"), "cpu")
    second = copy_pipeline(baseline, ("transformer",))
    former = second.vae._hf_hook

    def fail(*_arguments: Any, **_options: Any) -> None:
        raise RuntimeError("in the kernel")

    second.transformer.transformer_blocks[1].forward = fail
    with pytest.raises(BackendError, match="in the kernel"):
        first_picture(second, tiny_case)
    assert second.vae._hf_hook is not former
    assert first_picture(baseline, tiny_case).tobytes() == plain


def test_pipeline_without_offload_is_left_alone(tiny_case: Case) -> None:
    """A pipeline that is not offloaded gets no hooks, and neither does its copy."""
    baseline = build_baseline(tiny_case, "cpu")
    assert [offload_of(pipeline) for pipeline in (baseline, copy_pipeline(baseline, None))] == [None, None]


def test_vae_switches_travel_with_the_copy(tiny_case: Case) -> None:
    """Tiling and slicing are set on the baseline's VAE, and on its copy, shared or not."""
    baseline = build_baseline(changed(tiny_case, vae_tiling=True, vae_slicing=True), "cpu")
    for pipeline in (baseline, copy_pipeline(baseline, ("transformer",)), copy_pipeline(baseline, None)):
        assert (pipeline.vae.use_tiling, pipeline.vae.use_slicing) == (True, True)
    plain = build_baseline(tiny_case, "cpu")
    assert (plain.vae.use_tiling, plain.vae.use_slicing) == (False, False)


def test_tiling_changes_large_pictures_only(tiny_case: Case, plain: bytes) -> None:
    """A picture that fits a tile keeps its bits, a larger one is decoded tile by tile."""
    large = tiny_case.model_copy(update={"generation": tiny_case.generation.model_copy(update={"width": 256})})
    pipelines = [build_baseline(changed(tiny_case, vae_tiling=tiling), "cpu") for tiling in (False, True)]
    whole, tiled = (first_picture(pipeline, large) for pipeline in pipelines)
    assert whole.tobytes() != tiled.tobytes()
    assert ssim(Pixels(tiled), Pixels(whole)).mean_ssim > 0.8
    assert first_picture(pipelines[1], tiny_case).tobytes() == plain


@pytest.mark.parametrize("switch", ["vae_tiling", "vae_slicing"])
@pytest.mark.parametrize("vae", [None, SimpleNamespace()], ids=["no VAE", "a VAE without switches"])
def test_missing_switch_is_a_case_error(switch: str, vae: Any) -> None:
    """A pipeline whose VAE cannot do what the case asks for is an error that names the key."""
    model = Model.model_validate({"source": "miniature", "dtype": {"cpu": "float32"}, switch: True})
    with pytest.raises(CaseError, match=rf"model\.{switch}"):
        place(SimpleNamespace(vae=vae, to=print), model, "cpu")


def test_pipeline_that_cannot_be_offloaded_is_a_case_error() -> None:
    """A pipeline that diffusers refuses to offload is an error that says why."""

    def refuse(**_options: Any) -> None:
        raise ValueError("no `model_cpu_offload_seq` class attribute is set")

    model = Model.model_validate({"source": "miniature", "dtype": {"cuda": "float32"}, "offload": "model"})
    with pytest.raises(CaseError, match="model_cpu_offload_seq"):
        place(SimpleNamespace(enable_model_cpu_offload=refuse), model, "cuda")


@pytest.fixture
def gpu_case(tiny_case: Case) -> Case:
    """The tiny case in float32 on CUDA."""
    return changed(tiny_case, dtype={"cuda": "float32"})


@needs_gpu
@pytest.mark.gpu
@pytest.mark.parametrize("offload", OFFLOADS)
def test_offloaded_pipelines_alternate_on_a_gpu(gpu_case: Case, offload: Offload) -> None:
    """On a GPU both offloaded pipelines draw what a resident one draws, and between calls no weight stays there."""
    expected = first_picture(build_baseline(gpu_case, "cuda"), gpu_case)
    baseline = build_baseline(changed(gpu_case, offload=offload), "cuda")
    second = copy_pipeline(baseline, ("transformer",))
    for pipeline in (baseline, second, second, baseline, baseline, second):
        assert ssim(Pixels(first_picture(pipeline, gpu_case)), Pixels(expected)).worst_tile_ssim > 0.999
        assert pipeline._execution_device.type == "cuda"
        for each in (baseline, second):
            assert {weight.device.type for weight in each.transformer.parameters()} <= {"cpu", "meta"}


@needs_gpu
@pytest.mark.gpu
@pytest.mark.parametrize("offload", OFFLOADS)
def test_offloaded_pipelines_have_parity_on_a_gpu(
    gpu_case: Case, offload: Offload, make_subject: Callable[..., Subject], silent: Progress
) -> None:
    """On a GPU the reference fetches the weights that wait on the CPU, and the block that diverges is found."""
    baseline = build_baseline(changed(gpu_case, offload=offload), "cuda")
    parity = parity_beside(baseline, gpu_case, "cuda", make_subject, silent)
    assert "transformer_blocks.1" in str(parity.divergence)
    assert {weight.device.type for weight in baseline.transformer.parameters()} <= {"cpu", "meta"}


@needs_gpu
@pytest.mark.gpu
@pytest.mark.slow
def test_compiled_blocks_survive_offload_on_a_gpu(
    gpu_case: Case, make_subject: Callable[..., Subject], silent: Progress
) -> None:
    """Blocks that wait on the CPU between calls compile once, and no call after the warm-up compiles again."""
    case = changed(gpu_case, offload="model")
    subject = make_subject(case, Recipe(backend="inductor", touches=("transformer",)), "cuda")
    baseline = build_baseline(case, "cuda")
    compiled, effect = compile_beside(baseline, subject, silent)
    sizes = cycle_sizes(baseline, compiled, subject, silent).sizes
    assert effect.graphs > 0
    assert [(size.compiles, size.problems) for size in sizes] == [(0, [])] * len(sizes)
    assert min(size.live_worst_tile_ssim or 0 for size in sizes) > 0.99
