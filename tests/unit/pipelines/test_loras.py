"""LoRAs on the miniature, against weights that were merged by hand."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from safetensors.torch import load_file

from nearlossless.backends import BackendError
from nearlossless.cases.case import Case, CaseError, Lora
from nearlossless.metrics.pixels import Pixels
from nearlossless.metrics.structure import ssim
from nearlossless.pipelines.compiling import copy_pipeline
from nearlossless.pipelines.drawing import draw
from nearlossless.pipelines.loading import build_baseline, weights_name
from nearlossless.pipelines.loras import lora_rank, swap_lora
from nearlossless.pipelines.requests import requests

MakeLora = Callable[..., Path]
needs_peft = pytest.mark.skipif(importlib.util.find_spec("peft") is None, reason="needs the extra 'lora'")


def with_loras(case: Case, *loras: Lora) -> Case:
    """The case with these LoRAs."""
    return case.model_copy(update={"model": case.model.model_copy(update={"loras": loras})})


def first_picture(pipeline: Any, case: Case) -> Image.Image:
    """The case's first picture."""
    return draw(pipeline, case.generation, requests(case.generation)[0])


def drawn_with(case: Case, *loras: Lora) -> Image.Image:
    """What a fresh pipeline draws with the first of these LoRAs."""
    return first_picture(build_baseline(with_loras(case, *loras), "cpu"), case)


def merged_by_hand(case: Case, lora: Lora) -> Image.Image:
    """What the pipeline draws whose weights are W + scale * B A."""
    pipeline, weights = build_baseline(case, "cpu"), load_file(lora.file)
    for name, down in weights.items():
        if name.endswith("lora_A.weight"):
            layer = pipeline.transformer.get_submodule(name.removeprefix("transformer.").removesuffix(".lora_A.weight"))
            layer.weight.data += lora.scale * weights[name.replace("lora_A", "lora_B")] @ down
    return first_picture(pipeline, case)


@pytest.fixture(scope="module")
def small(make_lora: MakeLora) -> Lora:
    """A LoRA of rank 4."""
    return Lora(file=str(make_lora(rank=4, seed=1)))


@pytest.fixture(scope="module")
def large(make_lora: MakeLora) -> Lora:
    """Another of rank 8, at half its effect."""
    return Lora(file=str(make_lora(rank=8, seed=2)), scale=0.5)


@needs_peft
@pytest.mark.parametrize("name", ["small", "large"])
def test_loaded_lora_draws_as_merged_weights(tiny_case: Case, name: str, request: pytest.FixtureRequest) -> None:
    """A loaded LoRA has the effect of its product, times its scale, added to the weights."""
    lora = request.getfixturevalue(name)
    drawn = drawn_with(tiny_case, lora)
    assert ssim(Pixels(drawn), Pixels(merged_by_hand(tiny_case, lora))).worst_tile_ssim > 0.999
    assert ssim(Pixels(drawn), Pixels(drawn_with(tiny_case))).worst_tile_ssim < 0.9


@needs_peft
def test_scale_is_a_factor_of_the_effect(tiny_case: Case, make_lora: MakeLora) -> None:
    """A LoRA at scale 0.5 draws the bits of a LoRA whose second matrix is half as large."""
    whole, half = make_lora(seed=3), make_lora(seed=3, factor=0.5)
    scaled = drawn_with(tiny_case, Lora(file=str(whole), scale=0.5))
    assert scaled.tobytes() == drawn_with(tiny_case, Lora(file=str(half))).tobytes()


@needs_peft
def test_first_of_several_is_loaded(tiny_case: Case, small: Lora, large: Lora) -> None:
    """Where swaps are prepared, pictures are those of the first LoRA alone, whichever rank is larger."""
    for loras in ((small, large), (large, small)):
        assert drawn_with(tiny_case, *loras).tobytes() == drawn_with(tiny_case, loras[0]).tobytes()


@needs_peft
def test_swap_reaches_both_pipelines_that_share_weights(tiny_case: Case, small: Lora, large: Lora) -> None:
    """After each swap, there and back and again, both pipelines draw what a fresh one with that LoRA draws."""
    baseline = build_baseline(with_loras(tiny_case, small, large), "cpu")
    second = copy_pipeline(baseline, ("transformer",))
    for lora in (large, small, large, small):
        expected = drawn_with(tiny_case, lora).tobytes()
        for pipeline in (second, baseline):
            swap_lora(pipeline, lora)
            assert first_picture(pipeline, tiny_case).tobytes() == expected


@needs_peft
def test_swap_keeps_every_tensor_in_its_place(tiny_case: Case, small: Lora, large: Lora) -> None:
    """A swap writes into the tensors that are there: compiled code and the other pipeline hold them."""
    pipeline = build_baseline(with_loras(tiny_case, small, large), "cpu")

    def places() -> dict[str, tuple[int, int, Any]]:
        weights = pipeline.transformer.named_parameters()
        return {name: (id(weight), weight.data_ptr(), weight.shape) for name, weight in weights}

    before = places()
    swap_lora(pipeline, large)
    assert places() == before


@needs_peft
@pytest.mark.parametrize("offload", ["model", "sequential"])
def test_lora_is_swapped_under_offload(
    tiny_case: Case, small: Lora, large: Lora, offload: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Offloaded pipelines that share weights take a swap as resident ones do, and are offloaded afterwards."""
    import accelerate
    import torch

    real = accelerate.cpu_offload  # diffusers asks for "cpu:0", which torch holds for another device than "cpu"
    monkeypatch.setattr(accelerate, "cpu_offload", lambda part, _device, **kw: real(part, torch.device("cpu"), **kw))
    case = with_loras(tiny_case, small, large)
    case = case.model_copy(update={"model": case.model.model_copy(update={"offload": offload})})
    baseline = build_baseline(case, "cpu")
    second = copy_pipeline(baseline, ("transformer",))
    for lora in (large, small):
        expected = drawn_with(tiny_case, lora).tobytes()
        for pipeline in (second, baseline):
            swap_lora(pipeline, lora)
            assert first_picture(pipeline, case).tobytes() == expected


def test_rank_is_the_largest_in_the_file(make_lora: MakeLora) -> None:
    """The rank is read from the file's header."""
    assert [lora_rank(Lora(file=str(make_lora(rank=rank)))) for rank in (1, 4, 8)] == [1, 4, 8]


@needs_peft
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is no local file"),
        (b"not a tensor", "model.loras"),
        ({"part": "text_model"}, "has no weights for this StableDiffusion3Pipeline"),
        ({"layers": "to_nothing"}, "model.loras"),
    ],
    ids=["missing", "damaged", "of another model", "of other layers"],
)
def test_unusable_lora_is_a_case_error(
    tiny_case: Case, make_lora: MakeLora, tmp_path: Path, content: Any, message: str
) -> None:
    """A file that is missing, damaged or of another model is an error of the case, not a silent no-op."""
    path = make_lora(**content) if isinstance(content, dict) else tmp_path / "lora.safetensors"
    if isinstance(content, bytes):
        path.write_bytes(content)
    with pytest.raises(CaseError, match=message):
        build_baseline(with_loras(tiny_case, Lora(file=str(path))), "cpu")


@needs_peft
def test_lora_of_more_layers_cannot_be_swapped_in(tiny_case: Case, small: Lora, make_lora: MakeLora) -> None:
    """A LoRA of layers that the first leaves alone is refused while loading, before anything is compiled."""
    more = Lora(file=str(make_lora(layers="to_q to_k to_v")))
    with pytest.raises(CaseError, match=r"model\.loras"):
        build_baseline(with_loras(tiny_case, small, more), "cpu")
    assert drawn_with(tiny_case, more, small).tobytes() == drawn_with(tiny_case, more).tobytes()


def test_missing_library_names_the_extra(tiny_case: Case, small: Lora, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without PEFT the error says what to install."""
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(CaseError, match=r'pip install "nearlossless\[lora\]"'):
        build_baseline(with_loras(tiny_case, small), "cpu")


@needs_peft
def test_pipeline_that_cannot_swap_is_a_backend_error(tiny_case: Case, small: Lora, large: Lora) -> None:
    """A pipeline that a backend left without a way to swap is the backend's failure."""
    with pytest.raises(BackendError, match="swapping to LoRA"):
        swap_lora(object(), large)


def test_weights_are_named_with_their_lora(tiny_case: Case, small: Lora, large: Lora) -> None:
    """The picture identity tells LoRAs and their scales apart; those only swapped in draw no stored picture."""
    names = [
        weights_name(with_loras(tiny_case, *loras))
        for loras in ((), (small,), (large,), (large.model_copy(update={"scale": 0.25}),))
    ]
    assert len(set(names)) == len(names)
    assert weights_name(with_loras(tiny_case, small, large)) == names[1]
