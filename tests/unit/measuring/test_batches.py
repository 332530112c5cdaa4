"""Batches: what is drawn together, and that every picture of a batch is compared with its own baseline."""

import importlib
import sys
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image

from nearlossless.backends import BackendError
from nearlossless.baselines.comparison import Comparison, batch_ssim, batch_tripped, compare_pictures
from nearlossless.baselines.expected import expected_folder, load_expected, write_expected
from nearlossless.cases.case import Case, Sampling, Shapes
from nearlossless.cases.recipes import Recipe
from nearlossless.cases.thresholds import Band, Thresholds
from nearlossless.environment import PictureIdentity
from nearlossless.gates import judge_quality, judge_shapes
from nearlossless.measuring import BaselineError, drawer
from nearlossless.measuring.building import compile_beside
from nearlossless.measuring.sizes import cycle_sizes
from nearlossless.measuring.speed import measure_speed
from nearlossless.metrics.pixels import Pixels
from nearlossless.metrics.structure import ssim
from nearlossless.pipelines.compiling import BaselineChanged, check_batch_unchanged
from nearlossless.pipelines.drawing import draw, draw_batch
from nearlossless.pipelines.loading import build_baseline
from nearlossless.pipelines.requests import Request, batches, requests, size_batches, size_requests
from nearlossless.processes.job import Job
from nearlossless.processes.worker import run
from nearlossless.progress import Progress
from nearlossless.record.quality import ParityRecord, ReplayRecord
from nearlossless.runs.selection import Subject
from nearlossless.verdicts import Outcome

BACKENDS = '''
calls = []


def counting(pipeline):
    """Notes the prompts of every call."""
    def call(**options):
        calls.append(options["prompt"])
        return pipeline(**options)
    return call


def reversing(pipeline):
    """Hands out a batch's pictures in the wrong order."""
    def call(**options):
        output = pipeline(**options)
        output.images.reverse()
        return output
    return call
'''


def in_batches(case: Case, size: int) -> Case:
    """The case drawn so many pictures at a time."""
    return case.model_copy(update={"generation": case.generation.model_copy(update={"batch_size": size})})


@pytest.fixture(scope="module")
def pairs(tiny_case: Case) -> Case:
    """Four pictures, two at a time; in the first batch seeds differ."""
    generation = tiny_case.generation.model_copy(update={"prompts": tiny_case.generation.prompts[:2]})
    return in_batches(tiny_case.model_copy(update={"generation": generation}), 2)


@pytest.fixture(scope="module")
def baseline(pairs: Case) -> Any:
    """The miniature's baseline pipeline."""
    return build_baseline(pairs, "cpu")


@pytest.fixture
def backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Recipe]:
    """Makes a recipe with one of the backends above."""
    (tmp_path / "batch_backends.py").write_text(BACKENDS, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "batch_backends", raising=False)
    return lambda name: Recipe(backend=f"batch_backends:{name}", touches=("transformer",))


@pytest.fixture
def comparison(pairs: Case, tmp_path: Path, identity: PictureIdentity) -> Comparison:
    """Where nothing is stored yet."""
    return Comparison(
        case=pairs,
        case_folder=tmp_path / "case",
        identity=identity,
        scorer=None,
        report_folder=tmp_path / "report",
        prefix="pictures",
        stack={},
    )


@pytest.mark.parametrize("size", [1, 2, 4, 8])
def test_batches_are_the_requests_in_order(miniature_case: Case, size: int) -> None:
    """Batches have the case's size, and one after the other they are all its requests."""
    found = batches(in_batches(miniature_case, size).generation)
    assert {len(batch) for batch in found} == {size}
    assert [request for batch in found for request in batch] == requests(miniature_case.generation)


def test_size_batches_are_the_first_batch_at_every_size(pairs: Case) -> None:
    """The shapes gate draws the prompts and seeds of the first batch at every size, and alone the first of them."""
    generation = pairs.generation
    found = size_batches(generation)
    first = [(request.prompt, request.seed) for request in batches(generation)[0]]
    assert [[(r.prompt, r.seed) for r in batch] for batch in found] == [first] * len(generation.sizes)
    assert [{(r.height, r.width, r.steps) for r in batch} for batch in found] == [
        {(height, width, generation.size_steps)} for height, width in generation.sizes
    ]
    assert size_requests(generation) == [batch[0] for batch in found]


def test_latents_of_a_picture_are_the_same_in_every_batch(pairs: Case) -> None:
    """Each picture has a generator of its own, seeded as when it is drawn alone."""
    seen: list[Any] = []

    def pipeline(**options: Any) -> Any:
        seen.append(options["generator"])
        return SimpleNamespace(images=[Image.new("RGB", (64, 64)) for _ in range(len(batch))])

    batch = batches(pairs.generation)[0]
    draw_batch(pipeline, pairs.generation, batch)
    noises = [torch.randn(8, generator=generator) for generator in seen[0]]
    alone = [torch.randn(8, generator=torch.Generator().manual_seed(request.seed)) for request in batch]
    assert all(torch.equal(a, b) for a, b in zip(noises, alone, strict=True))
    assert not torch.equal(*noises)


def test_picture_of_a_batch_is_the_one_drawn_alone(pairs: Case, baseline: Any) -> None:
    """Up to rounding, a picture does not depend on what is drawn beside it."""
    for batch in batches(pairs.generation):
        together = draw_batch(baseline, pairs.generation, batch)
        alone = [draw(baseline, pairs.generation, request) for request in batch]
        assert batch_ssim(together, alone) == pytest.approx(1, abs=1e-3)
        assert ssim(Pixels(together[0]), Pixels(together[1])).worst_tile_ssim < 0.9


@pytest.mark.parametrize("count", [0, 1, 3])
def test_wrong_number_of_pictures_is_a_backend_error(pairs: Case, count: int) -> None:
    """A pipeline that returns fewer or more pictures than it was asked for has failed."""
    output = SimpleNamespace(images=[Image.new("RGB", (64, 64))] * count)
    with pytest.raises(BackendError, match="exactly 2 pictures"):
        draw_batch(lambda **_options: output, pairs.generation, batches(pairs.generation)[0])


def test_every_picture_of_a_batch_is_compared(pairs: Case, baseline: Any, comparison: Comparison) -> None:
    """Each picture has a record of its own, in the order of the requests, and a faithful pipeline's are the same."""
    draw_pair = drawer(baseline, pairs)
    records = list(compare_pictures(draw_pair, draw_pair, comparison))
    assert [(r.prompt, r.seed) for r in records] == [(r.prompt, r.seed) for r in requests(pairs.generation)]
    assert [record.live.worst_tile_ssim for record in records if record.live] == pytest.approx([1.0] * 4)


def test_swapped_pictures_of_a_batch_are_caught(pairs: Case, baseline: Any, comparison: Comparison) -> None:
    """A pipeline that hands out a batch's pictures in the wrong order fails the live comparison with each of them."""
    draw_pair = drawer(baseline, pairs)
    records = list(compare_pictures(draw_pair, lambda batch: draw_pair(batch)[::-1], comparison))
    assert max(record.live.worst_tile_ssim for record in records if record.live) < 0.9
    assert (
        judge_quality(records, Thresholds(live=Band(min_ssim=0.9)), ParityRecord(), ReplayRecord()).outcome
        is Outcome.REGRESSION
    )


def test_no_more_than_a_batch_is_held(pairs: Case, comparison: Comparison, picture: Image.Image) -> None:
    """When a batch is drawn, the pictures of the one before are gone."""
    drawn: list[weakref.ref[Image.Image]] = []
    alive: list[int] = []

    def remember(batch: Sequence[Request]) -> list[Image.Image]:
        alive.append(sum(reference() is not None for reference in drawn))
        images = [picture.resize((64, 64)) for _ in batch]
        drawn.extend(weakref.ref(image) for image in images)
        return images

    assert len(list(compare_pictures(remember, remember, comparison))) == 4
    assert alive == [0, 2, 0, 2]  # the baseline's batch, then the compiled one's beside it


def test_whole_batches_are_timed_and_counted(
    pairs: Case, baseline: Any, backend: Callable[[str], Recipe], make_subject: Callable[..., Subject], silent: Progress
) -> None:
    """Speed, first pictures and sizes are calls of the first batch, never of one picture."""
    alone = Shapes(batch_sizes=(), guidance_scales=(), prompt_words=(), steps=())
    changes = {"sampling": Sampling(min_pairs=3, max_pairs=3), "shapes": alone}
    subject = make_subject(pairs.model_copy(update=changes), backend("counting"))
    compiled, _ = compile_beside(baseline, subject, silent)
    measure_speed(baseline, compiled, subject, silent)
    cycle_sizes(baseline, compiled, subject, silent)
    calls = importlib.import_module("batch_backends").calls
    assert len(calls) > 10
    assert all(prompts == [request.prompt for request in batches(pairs.generation)[0]] for prompts in calls)


def test_worker_draws_batches(pairs: Case, backend: Callable[[str], Recipe]) -> None:
    """First and steady calls of a process of its own, and the short one that shows the effect, are of a batch."""
    run(Job(case=pairs, recipe=backend("counting"), device="cpu"), lambda _phase: None)
    calls = importlib.import_module("batch_backends").calls
    assert [len(prompts) for prompts in calls] == [2, 2, 2, 2]


def test_sizes_catch_swapped_pictures(
    pairs: Case, baseline: Any, backend: Callable[[str], Recipe], make_subject: Callable[..., Subject], silent: Progress
) -> None:
    """The shapes gate compares every picture of a batch, so that a wrong order is seen at every size."""
    subject = make_subject(pairs, backend("reversing"))
    compiled, _ = compile_beside(baseline, subject, silent)
    sizes = cycle_sizes(baseline, compiled, subject, silent).sizes
    assert max(size.live_worst_tile_ssim or 0 for size in sizes if not size.variation) < 0.9
    assert judge_shapes(sizes, Thresholds(live=Band(min_ssim=0.9))).outcome is Outcome.REGRESSION


def test_baseline_that_fails_is_no_fault_of_a_recipe(
    pairs: Case, baseline: Any, make_subject: Callable[..., Subject], backend: Callable[[str], Recipe], silent: Progress
) -> None:
    """A baseline that fails at a size ends the gate for want of a baseline; the recipe is not blamed."""

    def fails(**_options: Any) -> Any:
        raise RuntimeError("out of memory")

    with pytest.raises(BaselineError, match="out of memory"):
        cycle_sizes(fails, baseline, make_subject(pairs, backend("counting")), silent)


def test_batch_is_judged_by_its_worst_picture(picture: Image.Image) -> None:
    """One damaged picture of a batch decides its similarity and trips its wire."""
    black = Image.new("RGB", picture.size)
    request = Request("any", 0, picture.height, picture.width, 1)
    assert batch_ssim([picture, picture], [picture, picture]) == pytest.approx(1)
    assert (batch_ssim([picture, black], [picture, picture]) or 0) < 0.5
    assert batch_ssim([picture, picture.resize((64, 64))], [picture, picture]) is None
    assert "black" in batch_tripped([picture, black], [picture, picture], [request, request])
    assert batch_tripped([picture, black], [picture, black], [request, request]) == []


def test_baseline_that_moved_in_one_picture_of_a_batch_is_told(picture: Image.Image) -> None:
    """Every picture of the batch must be what it was."""
    before = [[picture, picture], [picture, picture]]
    check_batch_unchanged(before, [picture, picture])
    with pytest.raises(BaselineChanged):
        check_batch_unchanged(before, [picture, picture.rotate(180)])


@pytest.mark.parametrize(
    ("changes", "is_same"),
    [({}, True), ({"batch_size": 1}, False), ({"vae_tiling": True}, False)],
)
def test_stored_picture_knows_how_it_was_drawn(
    pairs: Case,
    picture: Image.Image,
    identity: PictureIdentity,
    tmp_path: Path,
    changes: dict[str, Any],
    is_same: bool,
) -> None:
    """A picture that was stored with another batch size or VAE tiling describes another setting."""
    request = requests(pairs.generation)[0]
    write_expected(
        expected_folder(tmp_path, identity),
        pairs,
        request,
        picture.resize((64, 64)),
        identity=identity,
        stack={},
        scores={},
    )
    tiling = changes.pop("vae_tiling", False)
    case = pairs.model_copy(
        update={
            "generation": pairs.generation.model_copy(update=changes),
            "model": pairs.model.model_copy(update={"vae_tiling": tiling}),
        }
    )
    problem = load_expected(case, tmp_path, request, identity).problem
    assert problem is None if is_same else "setting" in (problem or "")
