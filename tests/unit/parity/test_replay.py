"""Replay: what goes wrong around the denoiser is seen, rounding inside it is not."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from nearlossless.cases.case import Case
from nearlossless.cases.recipes import Recipe
from nearlossless.cases.thresholds import Band, Thresholds
from nearlossless.gates import replay_checks
from nearlossless.measuring.recording import Recording, record_baseline
from nearlossless.measuring.replaying import measure_replay
from nearlossless.parity.denoiser_calls import DenoiserCall
from nearlossless.parity.replay import Player, named_inputs, played_by, relative_error
from nearlossless.pipelines.compiling import copy_pipeline
from nearlossless.pipelines.drawing import draw
from nearlossless.pipelines.loading import build_baseline
from nearlossless.pipelines.requests import requests
from nearlossless.progress import Progress
from nearlossless.record.quality import ReplayRecord
from nearlossless.runs.selection import Subject
from nearlossless.shapes.counting import counted_compiles
from nearlossless.verdicts import Outcome

BANDS = Thresholds(live=Band(min_ssim=0.99))
INDUCTOR = Recipe(backend="inductor")
Change = Callable[[Any], Any]


class Around:
    """A pipeline whose call is changed; everything else is the inner one's."""

    def __init__(self, pipeline: Any, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        self._pipeline, self._change = pipeline, change

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pipeline, name)

    def __call__(self, **options: Any) -> Any:
        """The inner pipeline's call with other options."""
        return self._pipeline(**self._change(options))


@pytest.fixture(scope="module")
def case(tiny_case: Case) -> Case:
    """The miniature in six denoising steps at 64x64."""
    return tiny_case.model_copy(update={"generation": tiny_case.generation.model_copy(update={"steps": 6})})


@pytest.fixture(scope="module")
def recording(case: Case) -> Recording:
    """The baseline's first picture, recorded."""
    return record_baseline(build_baseline(case, "cpu"), case)


@pytest.fixture
def replay(recording: Recording, case: Case, make_subject: Callable[..., Subject], silent: Progress) -> Any:
    """Plays the recording through a changed copy of its pipeline."""

    def measure(change: Change, recipe: Recipe = INDUCTOR) -> ReplayRecord:
        compiled = change(copy_pipeline(recording.pipeline, None))
        return measure_replay(recording, compiled, make_subject(case, recipe), silent)

    return measure


def outcomes(found: ReplayRecord) -> set[str]:
    """Names of what regressed: the input that is off, or the check without one."""
    return {check.of or check.name for check in replay_checks(found, BANDS) if check.outcome is not Outcome.PASS}


def as_it_is(pipeline: Any) -> Any:
    """Changes nothing."""
    return pipeline


def attention_scale(pipeline: Any) -> Any:
    """A defect of the denoiser, which step parity sees."""
    norm = pipeline.transformer.transformer_blocks[1].attn.norm_q
    norm.weight = nn.Parameter(norm.weight * 1.1)
    return pipeline


def fused_denoiser(pipeline: Any) -> Any:
    """A whole compiled transformer, by the wrapper that torch.compile returns."""
    pipeline.transformer = torch.compile(pipeline.transformer, backend="eager")
    return pipeline


def compiled_in_place(pipeline: Any) -> Any:
    """A whole transformer compiled in place."""
    pipeline.transformer.compile(backend="eager")
    return pipeline


@pytest.mark.parametrize("change", [as_it_is, attention_scale, fused_denoiser, compiled_in_place])
def test_what_a_denoiser_computes_is_not_seen(replay: Any, change: Change) -> None:
    """Whatever the denoiser is, with the baseline's outputs in its place inputs and picture are equal to the bit."""
    found = replay(change)
    assert (found.calls, found.baseline_calls) == (6, 6)
    assert {kind: error.error for kind, error in found.errors.items()} == dict.fromkeys(
        ("latents", "timestep", "conditioning", "decoded"), 0.0
    )
    assert [scores.max_difference for scores in found.pictures] == [0]
    assert outcomes(found) == set()


def guidance(pipeline: Any) -> Any:
    """Guidance 2 % off."""
    return Around(pipeline, lambda options: options | {"guidance_scale": options["guidance_scale"] * 1.02})


def fewer_steps(pipeline: Any) -> Any:
    """One step less."""
    return Around(pipeline, lambda options: options | {"num_inference_steps": options["num_inference_steps"] - 1})


def other_seed(pipeline: Any) -> Any:
    """Other initial latents."""
    return Around(pipeline, lambda options: options | {"generator": torch.Generator("cpu").manual_seed(7)})


def other_prompt(pipeline: Any) -> Any:
    """A stale prompt."""
    return Around(pipeline, lambda options: options | {"prompt": "blue ring left of purple square"})


def longer_prompt(pipeline: Any) -> Any:
    """Embeddings of another length."""
    return Around(pipeline, lambda options: options | {"max_sequence_length": 15})


def shift(pipeline: Any) -> Any:
    """A scheduler whose shift is 1 % off."""
    pipeline.scheduler = type(pipeline.scheduler).from_config(
        pipeline.scheduler.config, shift=pipeline.scheduler.config.shift * 1.01
    )
    return pipeline


def encoder(pipeline: Any) -> Any:
    """A text encoder whose last norm is 0.1 % off."""
    norm = pipeline.text_encoder_3.encoder.final_layer_norm
    norm.weight = nn.Parameter(norm.weight * 1.001)
    return pipeline


def decoder(pipeline: Any) -> Any:
    """A decoder that draws with less contrast."""
    last = pipeline.vae.decoder.conv_out
    last.weight = nn.Parameter(last.weight * 0.8)
    return pipeline


def last_update_lost(pipeline: Any) -> Any:
    """A scheduler whose last step returns what it was given."""
    total = iter(range(1000))

    class Scheduler(type(pipeline.scheduler)):  # type: ignore[misc]  # a class that is known at run time only
        def step(self, output: Any, timestep: Any, sample: Any, **options: Any) -> Any:
            after = super().step(output, timestep, sample, **options)
            return (sample,) if next(total) == 5 else after

    pipeline.scheduler = Scheduler.from_config(pipeline.scheduler.config)
    return pipeline


def black(pipeline: Any) -> Any:
    """A decoder that draws black."""
    last = pipeline.vae.decoder.conv_out
    last.weight, last.bias = nn.Parameter(last.weight * 0), nn.Parameter(last.bias * 0 - 5)
    return pipeline


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        (guidance, {"hidden_states"}),
        (shift, {"hidden_states", "timestep"}),
        (other_seed, {"hidden_states"}),
        (fewer_steps, {"steps"}),
        (longer_prompt, {"inputs"}),
        (encoder, {"encoder_hidden_states"}),
        (last_update_lost, {"decoded latents"}),
        (decoder, {"replay worst-tile SSIM"}),
        (black, {"replay, picture"}),
    ],
)
def test_defect_around_the_denoiser_is_told_by_its_part(replay: Any, change: Change, seen: set[str]) -> None:
    """Guidance, schedule, latents, steps, prompt, encoder and decoder are each told from the others."""
    found = outcomes(replay(change))
    assert seen <= found
    # What goes wrong before the decoder reaches it.
    assert found <= seen | {"decoded latents", "replay worst-tile SSIM"}


def test_stale_prompt_is_seen(replay: Any) -> None:
    """Embeddings of another prompt are the worst that conditioning can be."""
    found = replay(other_prompt)
    assert found.errors["conditioning"].error > 0.1
    assert outcomes(found) == {found.errors["conditioning"].name}


@pytest.mark.parametrize("change", [fused_denoiser, compiled_in_place, as_it_is])
def test_denoiser_is_what_it_was_afterwards(recording: Recording, case: Case, replay: Any, change: Change) -> None:
    """After a replay the pipeline draws with its own denoiser again, and nothing is compiled anew."""
    torch.compiler.reset()
    kept, request = [], requests(case.generation)[0]

    def warmed(pipeline: Any) -> Any:
        kept.append(change(pipeline))
        kept.append(draw(kept[0], case.generation, request).tobytes())
        return kept[0]

    replay(warmed)
    with counted_compiles() as compiles:
        assert draw(kept[0], case.generation, request).tobytes() == kept[1]
    assert compiles.total == 0


def test_denoiser_comes_back_after_a_failure() -> None:
    """A pipeline that fails in the middle has its denoiser back."""
    module = nn.Linear(2, 2)
    before = dict(vars(module))
    with pytest.raises(RuntimeError), played_by(module, Player([])):
        raise RuntimeError("planted")
    assert vars(module) == before


def test_pipeline_without_denoiser_has_no_replay(
    recording: Recording, case: Case, make_subject: Callable[..., Subject], silent: Progress
) -> None:
    """A user's own callable need not have a transformer: nothing was measured, and the record says what is missing."""
    found = measure_replay(recording, lambda **_: None, make_subject(case, INDUCTOR), silent)
    assert "no transformer or unet" in str(found.problem)


def test_denoiser_that_is_not_called_is_a_problem(replay: Any) -> None:
    """A pipeline that draws with another denoiser than the one it shows proves nothing."""
    found = replay(lambda pipeline: Facade(pipeline, copy_pipeline(pipeline, ("transformer",))))
    assert "without calling its denoiser" in str(found.problem)


class Facade:
    """Shows one pipeline's parts and draws with another."""

    def __init__(self, shown: Any, used: Any) -> None:
        self.transformer, self._used = shown.transformer, used

    def __call__(self, **options: Any) -> Any:
        """The hidden pipeline's call."""
        return self._used(**options)


def test_replay_can_be_declared_away(replay: Any) -> None:
    """A recipe that has no replay by nature says so with its reason."""
    recipe = Recipe(backend="inductor", not_applicable={"replay": "draws in another number of steps"})
    assert replay(as_it_is, recipe).not_applicable == "draws in another number of steps"


@pytest.mark.parametrize(
    ("obtained", "expected", "error"),
    [
        ([3.0, 4.0], [3.0, 4.0], 0.0),
        ([3.0, 4.5], [3.0, 4.0], 0.1),
        ([0.0, 0.0], [0.0, 0.0], 0.0),
        ([1.0, 0.0], [0.0, 0.0], math.inf),
        ([math.nan, 0.0], [1.0, 0.0], math.inf),
    ],
)
def test_relative_error_is_that_of_its_definition(obtained: list[float], expected: list[float], error: float) -> None:
    """RMS of the difference over the RMS of what is expected; what is not finite is infinitely far."""
    assert relative_error(torch.tensor(obtained), torch.tensor(expected)) == pytest.approx(error)


def test_inputs_have_names_wherever_they_stand() -> None:
    """Positions count as latents and timestep, nested options by their path, and what is no tensor is left out."""
    one = torch.ones(1)
    call = DenoiserCall(
        step=0,
        timestep=None,
        arguments=(one, one, one),
        options={"encoder_hidden_states": one, "added": {"ids": [one, None]}, "return_dict": False},
    )
    assert list(named_inputs(call)) == ["latents", "timestep", "argument 2", "encoder_hidden_states", "added.ids[0]"]
