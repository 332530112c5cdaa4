"""Swapped LoRAs and guidance off: nothing compiles after the warm-up, and a swap that fails is seen."""

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from nearlossless.cases.case import Case, Lora
from nearlossless.cases.recipes import Recipe
from nearlossless.cases.thresholds import Band, Thresholds
from nearlossless.effect import Effect
from nearlossless.gates import judge_shapes
from nearlossless.measuring.building import compile_beside
from nearlossless.measuring.sizes import cycle_sizes
from nearlossless.measuring.swaps import swap_loras
from nearlossless.pipelines.drawing import draw
from nearlossless.pipelines.loading import build_baseline
from nearlossless.pipelines.loras import ADAPTER
from nearlossless.pipelines.requests import requests
from nearlossless.progress import Progress
from nearlossless.record.shapes import SizeRecord, SwapRecord
from nearlossless.runs.selection import Subject
from nearlossless.verdicts import Outcome

pytestmark = pytest.mark.skipif(importlib.util.find_spec("peft") is None, reason="needs the extra 'lora'")
BANDS = Thresholds(live=Band(min_ssim=0.99))
BACKENDS = '''
import torch


def _compiled(pipeline):
    for block in pipeline.transformer.transformer_blocks:
        block.compile(dynamic=True, backend="eager")
    return pipeline


def faithful(pipeline):
    return _compiled(pipeline)


def deaf(pipeline):
    """Ignores swaps."""
    pipeline.load_lora_weights = lambda *arguments, **options: None
    return _compiled(pipeline)


def forgetful(pipeline):
    """Throws compiled code away at a swap."""
    load = pipeline.load_lora_weights

    def reload(*arguments, **options):
        load(*arguments, **options)
        torch.compiler.reset()

    pipeline.load_lora_weights = reload
    return _compiled(pipeline)


def without_swaps(pipeline):
    """Hands out a function, which has no LoRA to swap."""
    return lambda **options: pipeline(**options)
'''


@dataclass(frozen=True)
class Cycled:
    """A baseline and a compiled pipeline after all sizes and swaps."""

    case: Case
    baseline: Any
    compiled: Any
    effect: Effect
    before: Image.Image
    sizes: list[SizeRecord]
    swaps: list[SwapRecord]

    @property
    def outcome(self) -> Outcome:
        """What the shapes gate says of it."""
        return judge_shapes(self.sizes, BANDS, swaps=self.swaps).outcome


Cycle = Callable[..., Cycled]


@pytest.fixture(scope="module")
def case(tiny_case: Case, make_lora: Callable[..., Path]) -> Case:
    """Two LoRAs of different rank and scale, without guidance."""
    loras = (Lora(file=str(make_lora(rank=4, seed=1))), Lora(file=str(make_lora(rank=8, seed=2)), scale=0.5))
    return tiny_case.model_copy(
        update={
            "model": tiny_case.model.model_copy(update={"loras": loras}),
            "generation": tiny_case.generation.model_copy(update={"guidance_scale": 1.0}),
        }
    )


@pytest.fixture(scope="module")
def cycle(make_subject: Callable[..., Subject], silent: Progress) -> Cycle:
    """Builds both pipelines of a case under a recipe, cycles the sizes and swaps the LoRAs."""

    def run(case: Case, recipe: Recipe) -> Cycled:
        subject, baseline = make_subject(case, recipe), build_baseline(case, "cpu")
        before = draw(baseline, case.generation, requests(case.generation)[0])
        compiled, effect = compile_beside(baseline, subject, silent)
        sizes = cycle_sizes(baseline, compiled, subject, silent).sizes
        swaps = swap_loras(baseline, compiled, subject, silent)
        return Cycled(case, baseline, compiled, effect, before, sizes, swaps)

    return run


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Recipe]]:
    """Makes a recipe with one of the backends above, in a Dynamo that has compiled nothing."""
    (tmp_path / "swap_backends.py").write_text(BACKENDS, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    torch.compiler.reset()
    yield lambda name: Recipe(backend=f"swap_backends:{name}", touches=("transformer",))
    torch.compiler.reset()


@pytest.fixture(scope="module")
def inductor(case: Case, cycle: Cycle) -> Iterator[Cycled]:
    """The miniature under inductor."""
    torch.compiler.reset()
    yield cycle(case, Recipe(backend="inductor", touches=("transformer",)))
    torch.compiler.reset()


@pytest.mark.slow
def test_guidance_off_compiles_nothing_after_warm_up(inductor: Cycled) -> None:
    """With one picture and no guidance the transformer's batch is one; its sizes still cycle without a compile."""
    assert inductor.effect.graphs > 0
    assert [(size.compiles, size.problems) for size in inductor.sizes] == [(0, [])] * len(inductor.sizes)
    assert min(size.live_worst_tile_ssim or 0 for size in inductor.sizes) > 0.99


@pytest.mark.slow
def test_swaps_compile_nothing_and_reach_compiled_code(inductor: Cycled) -> None:
    """Each swap, to another rank and scale and back, compiles nothing and changes both pipelines' pictures alike."""
    assert [(swap.compiles, swap.problems) for swap in inductor.swaps] == [(0, [])] * 2
    assert min(swap.live_worst_tile_ssim or 0 for swap in inductor.swaps) > 0.99
    assert max(swap.baseline_change_ssim or 1 for swap in inductor.swaps) < 0.9
    assert inductor.outcome is Outcome.PASS


@pytest.mark.slow
def test_first_lora_is_back_after_the_swaps(inductor: Cycled) -> None:
    """After the gate the baseline draws the bits that it drew before it."""
    first = requests(inductor.case.generation)[0]
    assert draw(inductor.baseline, inductor.case.generation, first).tobytes() == inductor.before.tobytes()
    assert ADAPTER in inductor.compiled.get_list_adapters()["transformer"]


def test_faithful_backend_passes(case: Case, cycle: Cycle, planted: Callable[[str], Recipe]) -> None:
    """What the planted backends below do right: compiled blocks whose LoRA is swapped."""
    assert cycle(case, planted("faithful")).outcome is Outcome.PASS


def test_swap_that_does_nothing_is_a_regression(case: Case, cycle: Cycle, planted: Callable[[str], Recipe]) -> None:
    """A compiled pipeline that ignores a swap is caught, although the baseline's reaches the weights they share."""
    loras = tuple(lora.model_copy(update={"scale": 1.0}) for lora in case.model.loras)
    same_scale = case.model_copy(update={"model": case.model.model_copy(update={"loras": loras})})
    cycled = cycle(same_scale, planted("deaf"))
    assert cycled.swaps[0].problems == ["draws the same picture as before the swap"]
    assert cycled.outcome is Outcome.REGRESSION


def test_swap_that_compiles_is_a_regression(case: Case, cycle: Cycle, planted: Callable[[str], Recipe]) -> None:
    """Code that is compiled again after a swap is counted, although the pictures match."""
    cycled = cycle(case, planted("forgetful"))
    assert cycled.swaps[0].problems == []
    assert cycled.swaps[0].compiles > 0
    assert cycled.outcome is Outcome.REGRESSION


def test_pipeline_without_swaps_is_a_regression(case: Case, cycle: Cycle, planted: Callable[[str], Recipe]) -> None:
    """A backend whose pipeline takes no LoRA fails the gate with the reason, and the cycle goes on to the end."""
    cycled = cycle(case, planted("without_swaps"))
    assert len(cycled.swaps) == 2
    assert "swapping to LoRA" in cycled.swaps[0].problems[0]
    assert cycled.outcome is Outcome.REGRESSION


def test_one_lora_is_not_swapped(case: Case, make_subject: Callable[..., Subject], silent: Progress) -> None:
    """A case with fewer than two LoRAs has no swaps, and draws nothing for them."""
    one = case.model_copy(update={"model": case.model.model_copy(update={"loras": case.model.loras[:1]})})
    assert swap_loras(None, None, make_subject(one, Recipe(backend="inductor")), silent) == []


def one_size() -> list[SizeRecord]:
    """A cycle of one faultless size."""
    return [SizeRecord(height=64, width=64, compiles=0, latency_s=1.0, live_worst_tile_ssim=1.0)]


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({}, Outcome.PASS),
        ({"compiles": 1}, Outcome.REGRESSION),
        ({"problems": ["black"]}, Outcome.REGRESSION),
        ({"live_worst_tile_ssim": 0.99}, Outcome.PASS),
        ({"live_worst_tile_ssim": 0.9899}, Outcome.REGRESSION),
        ({"live_worst_tile_ssim": None}, Outcome.NOT_COMPARABLE),
        ({"baseline_change_ssim": 0.9899}, Outcome.PASS),
        ({"baseline_change_ssim": 0.99}, Outcome.NOT_COMPARABLE),
        ({"baseline_change_ssim": None}, Outcome.NOT_COMPARABLE),
    ],
)
def test_swaps_turn_at_their_thresholds(changes: dict[str, Any], outcome: Outcome) -> None:
    """A swap compiles nothing, matches the baseline, and must move the baseline further than the band is wide."""
    swap = SwapRecord(lora="b", compiles=0, baseline_change_ssim=0.5, live_worst_tile_ssim=1.0)
    assert judge_shapes(one_size(), BANDS, swaps=[swap.model_copy(update=changes)]).outcome is outcome
