"""The shapes gate's cycle: what is called, and that one bad size leaves the others measured."""

import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image

from nearlossless.cases.case import Case, Shapes
from nearlossless.cases.recipes import Recipe
from nearlossless.cases.thresholds import Band, Thresholds
from nearlossless.gates import judge_shapes
from nearlossless.measuring.sizes import Cycle, cycle_sizes
from nearlossless.pipelines.requests import other_variations, size_variations
from nearlossless.progress import Progress
from nearlossless.runs.selection import Subject
from nearlossless.shapes.time_limit import TimeLimitReached, time_limit
from nearlossless.speed.quiet import UNWATCHED
from nearlossless.verdicts import Outcome

BANDS = Thresholds(live=Band(min_ssim=0.99))
NOISE = Image.effect_noise((256, 256), 60).convert("RGB")
Pipeline = Callable[..., Any]


def pictures(**options: Any) -> Any:
    """A pipeline that draws noise of the size asked for, one picture a prompt."""
    prompts = options["prompt"]
    count = 1 if isinstance(prompts, str) else len(prompts)
    return SimpleNamespace(images=[NOISE.resize((options["width"], options["height"])) for _ in range(count)])


@pytest.fixture
def cycle(tiny_case: Case, make_subject: Callable[..., Subject], silent: Progress) -> Iterator[Callable[..., Cycle]]:
    """Cycles a pipeline beside one that draws faithfully."""
    torch.compiler.reset()

    def run(compiled: Pipeline, **shapes: Any) -> Cycle:
        case = tiny_case.model_copy(update={"shapes": Shapes(**shapes)})
        return cycle_sizes(pictures, compiled, make_subject(case, Recipe(backend="inductor")), silent)

    yield run
    torch.compiler.reset()


def outcomes(cycle: Cycle) -> tuple[Outcome, set[str]]:
    """The verdict, and what it was red for."""
    verdict = judge_shapes(cycle.sizes, BANDS)
    return verdict.outcome, {check.of for check in verdict.checks if check.outcome is Outcome.REGRESSION}


def test_cycle_varies_one_thing_at_a_time(miniature_case: Case) -> None:
    """Around the smallest size each of batch, guidance, prompt and steps changes alone, beside all sizes."""
    generation = miniature_case.generation
    found = other_variations(generation, Shapes())
    assert [each.name for each in found] == [
        "batch of 2",
        "batch of 3",
        "guidance 1",
        "prompt of 1 word",
        "prompt of 600 words",
        "3 steps",
    ]
    assert {(r.height, r.width) for each in found for r in each.batch} == {(64, 64)}
    assert [len(each.batch) for each in found] == [2, 3, 1, 1, 1, 1]
    assert [len(found[number].batch[0].prompt.split()) for number in (3, 4)] == [1, 600]
    assert [each.batch[0].steps for each in found] == [2, 2, 2, 2, 2, 3]
    assert [each.guidance_scale for each in found] == [3.5, 3.5, 1.0, 3.5, 3.5, 3.5]
    assert len({request.seed for request in found[0].batch}) == 2
    assert [each.name for each in found if each.is_warmup] == ["batch of 2", "guidance 1"]
    sizes = [(v.batch[0].height, v.batch[0].width) for v in size_variations(generation)]
    assert sizes == list(generation.sizes)


def test_what_is_the_cases_own_is_no_variation(tiny_case: Case) -> None:
    """A batch size, guidance or number of steps that the sizes are drawn with anyway is not drawn again."""
    shapes = Shapes(batch_sizes=(1,), guidance_scales=(3.5,), prompt_words=(), steps=(2,))
    assert other_variations(tiny_case.generation, shapes) == []


def test_faithful_pipeline_passes(cycle: Callable[..., Cycle]) -> None:
    """A pipeline that draws what is asked for and compiles nothing is green, at every size and variation."""
    found = cycle(pictures)
    assert outcomes(found) == (Outcome.PASS, set())
    assert all(size.baseline_s and size.compiled_s for size in found.sizes)
    assert len(found.sizes) == 9


def test_size_that_is_ignored_is_a_regression(cycle: Callable[..., Cycle]) -> None:
    """A pipeline that draws one size whatever is asked for loses at every other one."""
    found = cycle(lambda **options: pictures(**{**options, "height": 64, "width": 64}))
    assert outcomes(found) == (Outcome.REGRESSION, {"64x96", "96x64"})


@pytest.mark.parametrize("error", [RuntimeError("no kernel"), torch.cuda.OutOfMemoryError("CUDA out of memory")])
def test_failure_at_one_size_leaves_the_others_measured(cycle: Callable[..., Cycle], error: Exception) -> None:
    """One size that fails, in the warm-up too, is one regression with its reason; the others are drawn and pass."""

    def fails(**options: Any) -> Any:
        if (options["height"], options["width"]) == (96, 64):
            raise error
        return pictures(**options)

    found = cycle(fails)
    assert outcomes(found) == (Outcome.REGRESSION, {"64x96"})
    assert len(found.failed) == 1
    assert str(error) in str(judge_shapes(found.sizes, BANDS))


def test_call_that_never_returns_is_interrupted(cycle: Callable[..., Cycle]) -> None:
    """A call that hangs at one size ends at the limit, keeps no exception handler busy, and the rest is measured."""

    def hangs(**options: Any) -> Any:
        while (options["height"], options["width"]) == (64, 96):
            try:
                time.sleep(0.01)
            except Exception:  # noqa: S112 (what a careless pipeline does)
                continue
        return pictures(**options)

    found = cycle(hangs, limit_s=0.3)
    assert outcomes(found) == (Outcome.REGRESSION, {"96x64"})
    assert "still busy after 0.3 s (shapes.limit_s)" in str(judge_shapes(found.sizes, BANDS))


def test_wrong_picture_of_one_variation_names_it(cycle: Callable[..., Cycle]) -> None:
    """A picture that is black for a long prompt alone is red for that variation."""

    def black(**options: Any) -> Any:
        output = pictures(**options)
        if len(options["prompt"]) > 1000:
            output.images[0].paste((0, 0, 0), (0, 0, *output.images[0].size))
        return output

    assert outcomes(cycle(black)) == (Outcome.REGRESSION, {"64x64, prompt of 600 words"})


def compiling(word: Callable[[dict[str, Any]], Any]) -> Pipeline:
    """A pipeline with compiled code in it that is guarded by what `word` makes of the request."""

    def specialized_step(x: torch.Tensor, value: str) -> torch.Tensor:
        return x * len(value)

    step = torch.compile(specialized_step, backend="eager", dynamic=True)

    def draw(**options: Any) -> Any:
        step(torch.ones(4), str(word(options)))
        return pictures(**options)

    return draw


def test_recompilation_names_its_trigger_frame_and_guard(cycle: Callable[..., Cycle]) -> None:
    """What compiles at a number of steps is told with that, the function, its place and the guard, and drawn anyway."""
    found = cycle(compiling(lambda options: options["num_inference_steps"]))
    verdict = judge_shapes(found.sizes, BANDS)
    assert verdict.outcome is Outcome.REGRESSION
    assert "64x64, 3 steps: 1 by specialized_step (" in verdict.reason
    assert "test_cycle.py:" in verdict.reason
    assert "== '2'" in verdict.reason
    assert [size.compiles for size in found.sizes] == [0] * 8 + [1]
    assert found.sizes[-1].live_worst_tile_ssim == pytest.approx(1)


def test_kernels_that_dynamo_does_not_see_are_found_in_the_caches(
    tiny_case: Case,
    make_subject: Callable[..., Subject],
    silent: Progress,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A file that appears in the kernel cache at one size after warm-up is told with it, and red."""
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))

    def caching(**options: Any) -> Any:
        (tmp_path / f"kernel-{options['num_inference_steps']}.cubin").touch()
        return pictures(**options)

    nexfort = Recipe(backend="nexfort", touches=("transformer",), options={"api": "transform"})
    found = cycle_sizes(pictures, caching, make_subject(tiny_case, nexfort), silent)
    verdict = judge_shapes(found.sizes, BANDS)
    assert verdict.outcome is Outcome.REGRESSION
    assert "obtained 1, required <= 0 (64x64, 3 steps: 1 new kernel files by " in verdict.reason
    assert "kernel-3.cubin" in verdict.reason


def test_size_that_is_slower_on_a_gpu_is_a_regression(
    tiny_case: Case, make_subject: Callable[..., Subject], silent: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a GPU the size at which the pipeline repeats its work is timed in pairs and red; the others are plain."""
    monkeypatch.setattr("nearlossless.measuring.sizes.synchronizer", lambda _device: lambda: None)
    monkeypatch.setattr("nearlossless.measuring.sizes.watch_of", lambda _device: UNWATCHED)
    monkeypatch.setattr("nearlossless.runs.selection.hardware_name", lambda _device: "NVIDIA H20")

    def repeated(count: int, **options: Any) -> Any:
        for _ in range(count - 1):
            pictures(**options)
        return pictures(**options)

    def fast(**options: Any) -> Any:
        return repeated(15 if options["height"] == 96 else 1, **options)

    baseline = partial(repeated, 5)
    subject = make_subject(tiny_case, Recipe(backend="inductor"), "cuda")
    found = cycle_sizes(baseline, fast, subject, silent)
    assert outcomes(found) == (Outcome.REGRESSION, {"64x96"})
    counts = {size.title: len(size.compiled_s) for size in found.sizes}
    assert counts.pop("64x96") >= tiny_case.sampling.min_pairs
    assert statistics.median(counts.values()) == 1


def test_warm_up_covers_guidance_off(cycle: Callable[..., Cycle]) -> None:
    """What compiles once for guidance off is part of the warm-up, and counted there."""
    found = cycle(compiling(lambda options: options["guidance_scale"]))
    assert outcomes(found) == (Outcome.PASS, set())
    assert found.warmup.graphs == 2


def test_limit_lets_short_blocks_pass_and_comes_off() -> None:
    """A block that ends in time is not interrupted, and nothing fires after it."""
    with time_limit(0.05, "limit"):
        pass
    end = time.monotonic() + 0.1
    while time.monotonic() < end:
        pass
    with pytest.raises(TimeLimitReached):
        _busy_under_a_limit()


def _busy_under_a_limit() -> None:
    with time_limit(0.05, "limit"):
        while True:
            pass
