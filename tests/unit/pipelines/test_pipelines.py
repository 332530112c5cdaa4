"""Pipelines of the miniature: sharing, repeating, and backends that misbehave."""

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from nearlossless.backends import BackendError
from nearlossless.cases.case import Case, CaseError
from nearlossless.cases.recipes import Recipe
from nearlossless.pipelines.compiling import (
    BaselineChanged,
    build_compiled,
    check_baseline_unchanged,
    copy_pipeline,
    shared_copy,
)
from nearlossless.pipelines.drawing import draw
from nearlossless.pipelines.loading import build_baseline, weights_name
from nearlossless.pipelines.requests import Request, requests, size_requests

TRANSFORMER = ("transformer",)
BACKENDS = """
import sys
import torch

def harmless(pipeline, **options):
    return pipeline

def garbage(pipeline):
    return {"not": "a pipeline"}

def nothing(pipeline):
    pass

def leaves(pipeline):
    sys.exit(3)

def raises(pipeline):
    raise ZeroDivisionError("in the kernel")

def interrupted(pipeline):
    raise KeyboardInterrupt

def wants_option(pipeline, *, level):
    pipeline.level = level
    return pipeline

def sets_dtype(pipeline):
    torch.set_default_dtype(torch.float64)
    return pipeline

def overwrites(pipeline):
    with torch.no_grad():
        for weight in pipeline.transformer.parameters():
            weight.mul_(1.1)
    return pipeline

def replaces(pipeline):
    for block in pipeline.transformer.transformer_blocks:
        weight = block.attn.to_q.weight
        block.attn.to_q.weight = torch.nn.Parameter(weight.detach() * 1.5, requires_grad=False)
    return pipeline
"""


@pytest.fixture(scope="module")
def baseline(quick_case: Case) -> Any:
    """The miniature's baseline pipeline on the CPU."""
    return build_baseline(quick_case, "cpu")


@pytest.fixture
def backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Recipe]:
    """Makes a recipe with one of the backends above."""
    (tmp_path / "unit_backends.py").write_text(BACKENDS, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    return lambda name: Recipe(backend=f"unit_backends:{name}", touches=TRANSFORMER)


def first_picture(pipeline: Any, case: Case) -> Image.Image:
    """The case's first picture."""
    return draw(pipeline, case.generation, requests(case.generation)[0])


def test_requests_are_every_prompt_with_every_seed(miniature_case: Case) -> None:
    """The case's pictures are all prompts with all seeds at its own size."""
    generation = miniature_case.generation
    asked = requests(generation)
    assert {(r.prompt, r.seed) for r in asked} == {(p, s) for p in generation.prompts for s in generation.seeds}
    assert {(r.height, r.width, r.steps) for r in asked} == {(128, 128, 28)}


def test_size_requests_are_one_for_each_size(miniature_case: Case) -> None:
    """The shapes gate draws one prompt at every size, in few steps."""
    generation = miniature_case.generation
    asked = size_requests(generation)
    assert tuple((r.height, r.width) for r in asked) == generation.sizes
    assert {r.steps for r in asked} == {generation.size_steps}


def test_weights_are_named_with_their_revision(miniature_case: Case) -> None:
    """The picture identity tells source and revision apart."""
    pinned = miniature_case.model.model_copy(update={"source": "a/b", "revision": "c0ffee"})
    assert re.fullmatch(r"miniature@[0-9a-f]{12}", weights_name(miniature_case))
    assert weights_name(miniature_case.model_copy(update={"model": pinned})) == "a/b@c0ffee"


def test_unpinned_hub_name_is_refused(miniature_case: Case) -> None:
    """A hub name without a commit is never loaded."""
    model = miniature_case.model.model_copy(update={"source": "somebody/something"})
    with pytest.raises(CaseError, match=r"model\.revision"):
        build_baseline(miniature_case.model_copy(update={"model": model}), "cpu")


def test_folder_without_weights_is_a_case_error(miniature_case: Case, tmp_path: Path) -> None:
    """A local folder that holds no pipeline is an error that names it."""
    model = miniature_case.model.model_copy(update={"source": str(tmp_path)})
    with pytest.raises(CaseError, match=str(tmp_path)):
        build_baseline(miniature_case.model_copy(update={"model": model}), "cpu")


def test_drawing_repeats_bit_for_bit(baseline: Any, quick_case: Case) -> None:
    """The same request gives the same bits again, and another seed gives others."""
    first, second = first_picture(baseline, quick_case), first_picture(baseline, quick_case)
    other = draw(baseline, quick_case.generation, requests(quick_case.generation)[1])
    assert first.tobytes() == second.tobytes()
    assert first.tobytes() != other.tobytes()


def test_picture_has_the_size_of_its_request(baseline: Any, quick_case: Case) -> None:
    """A request of height 64 and width 96 gives a picture of 96x64."""
    request = Request("blue ring", 20, 64, 96, 1)
    assert draw(baseline, quick_case.generation, request).size == (96, 64)


def test_shared_copy_shares_all_storage(baseline: Any) -> None:
    """The copy's parameters and buffers are the original's: no second copy of the weights."""
    original, copied = baseline.transformer, shared_copy(baseline.transformer)
    assert copied is not original
    for kind in ("named_parameters", "named_buffers"):
        mine, theirs = dict(getattr(copied, kind)()), dict(getattr(original, kind)())
        assert mine.keys() == theirs.keys()
        assert all(mine[name].data_ptr() == theirs[name].data_ptr() for name in mine)


def test_shared_copy_has_modules_of_its_own(baseline: Any) -> None:
    """No module of the copy is one of the original's."""
    original = {id(module) for module in baseline.transformer.modules()}
    assert not original & {id(module) for module in shared_copy(baseline.transformer).modules()}


def test_rewiring_the_copy_leaves_the_original(baseline: Any, quick_case: Case) -> None:
    """Replacing a module of the copy changes what the copy draws, and not a bit of what the original draws."""
    before = first_picture(baseline, quick_case)
    second = copy_pipeline(baseline, TRANSFORMER)
    second.transformer.transformer_blocks[0] = second.transformer.transformer_blocks[1]
    assert first_picture(second, quick_case).tobytes() != before.tobytes()
    assert first_picture(baseline, quick_case).tobytes() == before.tobytes()


def test_copy_draws_the_same_bits(baseline: Any, quick_case: Case) -> None:
    """A copied pipeline that nobody changed draws what the original draws, whichever parts were copied."""
    before = first_picture(baseline, quick_case).tobytes()
    assert first_picture(copy_pipeline(baseline, TRANSFORMER), quick_case).tobytes() == before
    assert first_picture(copy_pipeline(baseline, None), quick_case).tobytes() == before


def test_untouched_components_are_the_same_objects(baseline: Any) -> None:
    """What a recipe leaves alone is shared, what it touches is not."""
    second = copy_pipeline(baseline, TRANSFORMER)
    assert second.vae is baseline.vae
    assert second.text_encoder_3 is baseline.text_encoder_3
    assert second.transformer is not baseline.transformer


def test_unknown_component_is_an_error(baseline: Any) -> None:
    """A recipe that touches what the pipeline does not have is answered with what it has."""
    with pytest.raises(CaseError, match=r"unet.*transformer"):
        copy_pipeline(baseline, ("unet",))


def test_harmless_backend_draws_the_same_bits(
    baseline: Any, quick_case: Case, backend: Callable[[str], Recipe]
) -> None:
    """A backend that does nothing changes no bit, and the baseline is not handed out itself."""
    compiled = build_compiled(baseline, backend("harmless"))
    assert compiled is not baseline
    assert first_picture(compiled, quick_case).tobytes() == first_picture(baseline, quick_case).tobytes()


def test_options_reach_the_backend(baseline: Any, backend: Callable[[str], Recipe]) -> None:
    """The recipe's options are the backend's keyword arguments."""
    recipe = backend("wants_option").model_copy(update={"options": {"level": 3}})
    assert build_compiled(baseline, recipe).level == 3


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("garbage", "returned dict, not a pipeline"),
        ("nothing", "returned NoneType, not a pipeline"),
        ("leaves", "SystemExit: 3"),
        ("raises", "ZeroDivisionError: in the kernel"),
        ("wants_option", "TypeError"),
        ("absent", "has no function 'absent'"),
    ],
)
def test_bad_backend_is_a_backend_error(
    baseline: Any, backend: Callable[[str], Recipe], name: str, message: str
) -> None:
    """Whatever a backend does wrong is one kind of error that names it and says what it did."""
    with pytest.raises(BackendError, match=message) as caught:
        build_compiled(baseline, backend(name))
    assert f"unit_backends:{name}" in str(caught.value)


def test_keyboard_interrupt_passes_through(baseline: Any, backend: Callable[[str], Recipe]) -> None:
    """Ctrl-C inside a backend ends the run, as everywhere else."""
    with pytest.raises(KeyboardInterrupt):
        build_compiled(baseline, backend("interrupted"))


def test_settings_of_a_backend_are_put_back(baseline: Any, backend: Callable[[str], Recipe]) -> None:
    """A backend that changes torch's default dtype does not change it for the baseline."""
    build_compiled(baseline, backend("sets_dtype"))
    assert torch.get_default_dtype() is torch.float32


def test_writing_into_weights_is_detected(quick_case: Case, backend: Callable[[str], Recipe]) -> None:
    """A backend that writes into shared weights moves the baseline's picture, and that is told."""
    own = build_baseline(quick_case, "cpu")
    before = (first_picture(own, quick_case), first_picture(own, quick_case))
    build_compiled(own, backend("overwrites"))
    with pytest.raises(BaselineChanged, match="touches"):
        check_baseline_unchanged(before, first_picture(own, quick_case))


def test_replacing_weights_is_no_change_of_the_baseline(
    baseline: Any, quick_case: Case, backend: Callable[[str], Recipe]
) -> None:
    """A backend that puts new weights in place of shared ones leaves the baseline's bits alone."""
    before = (first_picture(baseline, quick_case), first_picture(baseline, quick_case))
    compiled = build_compiled(baseline, backend("replaces"))
    assert first_picture(compiled, quick_case).tobytes() != before[0].tobytes()
    check_baseline_unchanged(before, first_picture(baseline, quick_case))


def shifted(picture: Image.Image, levels: int) -> Image.Image:
    """The picture with every pixel moved by some levels, without clipping."""
    pixels_HWC = np.asarray(picture, dtype=np.int16)
    return Image.fromarray(np.where(pixels_HWC < 128, pixels_HWC + levels, pixels_HWC - levels).astype(np.uint8))


@pytest.mark.parametrize(("spread", "moved", "is_changed"), [(0, 0, False), (0, 1, True), (2, 4, False), (2, 5, True)])
def test_baseline_may_move_by_twice_its_own_spread(
    picture: Image.Image,
    spread: int,
    moved: int,
    is_changed: bool,
) -> None:
    """A baseline that repeats exactly may not move at all, another by twice its own spread and not more."""
    before, after = (picture, shifted(picture, spread)), shifted(picture, moved)
    if is_changed:
        with pytest.raises(BaselineChanged):
            check_baseline_unchanged(before, after)
    else:
        check_baseline_unchanged(before, after)


def test_picture_of_another_size_is_a_changed_baseline(picture: Image.Image) -> None:
    """A baseline that draws another size after the recipe has changed, too."""
    with pytest.raises(BaselineChanged):
        check_baseline_unchanged((picture, picture), picture.resize((64, 64)))


class Output:
    """What a pipeline returns."""

    def __init__(self, images: Any) -> None:
        self.images = images


@pytest.mark.parametrize("images", [None, [], ["a.png"], [Image.new("RGB", (8, 8))] * 2, np.zeros((1, 8, 8, 3))])
def test_output_without_one_picture_is_a_backend_error(quick_case: Case, images: Any) -> None:
    """Anything but exactly one picture is an error."""
    with pytest.raises(BackendError, match="exactly one picture"):
        first_picture(lambda **_: Output(images), quick_case)


@pytest.mark.parametrize("error", [RuntimeError("no kernel"), SystemExit(2), MemoryError()])
def test_error_while_drawing_is_a_backend_error(quick_case: Case, error: BaseException) -> None:
    """Whatever compiled code raises while drawing is told with the size that was drawn."""

    def broken(**_: Any) -> None:
        raise error

    with pytest.raises(BackendError, match=f"drawing 128x128: {type(error).__name__}"):
        first_picture(broken, quick_case)


def test_interrupt_while_drawing_passes_through(quick_case: Case) -> None:
    """Ctrl-C while drawing ends the run."""

    def interrupted(**_: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        first_picture(interrupted, quick_case)


def test_loading_prints_nothing(quick_case: Case, capfd: pytest.CaptureFixture[str]) -> None:
    """Loading bars and notices of libraries stay out of the gate's output."""
    build_baseline(quick_case, "cpu")
    assert capfd.readouterr() == ("", "")


def test_drawn_picture_can_be_stored(baseline: Any, quick_case: Case) -> None:
    """What a pipeline draws is an RGB picture that goes through PNG without loss."""
    drawn, buffer = first_picture(baseline, quick_case), io.BytesIO()
    drawn.save(buffer, format="PNG")
    assert drawn.mode == "RGB"
    assert Image.open(buffer).tobytes() == drawn.tobytes()
