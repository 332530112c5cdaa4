"""Defects around the denoiser's calls: prompts, guidance, schedule, initial noise."""

from collections.abc import Callable
from typing import Any

import torch
from tests.benchmarks.quality.changes import Wrapped

# What a pipeline's encode_prompt returns: embeddings, those without a prompt, and the pooled ones of both.
Embeddings = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


def _reencode(pipeline: Any, change: Callable[[Embeddings], Embeddings]) -> Any:
    encode = pipeline.encode_prompt

    def changed(**options: Any) -> Embeddings:
        return change(encode(**options))

    pipeline.encode_prompt = changed
    return pipeline


def stale_prompt_embedding(pipeline: Any) -> Any:
    """Every prompt but the first is drawn with the embedding of the prompt before it."""
    former: list[Embeddings] = []

    def stale(embeddings: Embeddings) -> Embeddings:
        former.append(embeddings)
        return former.pop(0) if len(former) > 1 else embeddings

    return _reencode(pipeline, stale)


def prompts_swapped(pipeline: Any) -> Any:
    """The prompts of a batch are drawn in reverse order."""

    def reversed_order(embeddings: Embeddings) -> Embeddings:
        text, none, pooled, pooled_none = embeddings
        return text.flip(0), none, pooled.flip(0), pooled_none

    return _reencode(pipeline, reversed_order)


def padding_tokens_lost(pipeline: Any) -> Any:
    """The last eight tokens, mostly padding that the model was trained with, are cut off."""

    def cut(embeddings: Embeddings) -> Embeddings:
        text, none, pooled, pooled_none = embeddings
        return text[:, :-8], none[:, :-8], pooled, pooled_none

    return _reencode(pipeline, cut)


def empty_prompt_zeroed(pipeline: Any) -> Any:
    """Guidance leads away from zeros instead of from the embedding of the empty prompt."""

    def zeroed(embeddings: Embeddings) -> Embeddings:
        text, none, pooled, pooled_none = embeddings
        return text, torch.zeros_like(none), pooled, torch.zeros_like(pooled_none)

    return _reencode(pipeline, zeroed)


def pooled_embedding_dropped(pipeline: Any) -> Any:
    """The pooled embedding of the prompt is zero."""

    def dropped(embeddings: Embeddings) -> Embeddings:
        text, none, pooled, pooled_none = embeddings
        return text, none, torch.zeros_like(pooled), pooled_none

    return _reencode(pipeline, dropped)


def text_encoder_dropped(pipeline: Any) -> Any:
    """The T5 is not loaded; the pipeline goes on with zeros in its place."""
    pipeline.text_encoder_3 = None
    return pipeline


def guidance_off(pipeline: Any) -> Any:
    """Guidance is 5 % too strong."""
    return Wrapped(pipeline, before=lambda given: {**given, "guidance_scale": 1.05 * given["guidance_scale"]})


def guidance_reversed(pipeline: Any) -> Any:
    """The two halves of the guided batch are taken for each other."""

    def reversed_halves(embeddings: Embeddings) -> Embeddings:
        text, none, pooled, pooled_none = embeddings
        return none, text, pooled_none, pooled

    return _reencode(pipeline, reversed_halves)


def wrong_seed(pipeline: Any) -> Any:
    """The initial noise is another seed's."""

    def reseeded(given: dict[str, Any]) -> dict[str, Any]:
        generators = given["generator"] if isinstance(given["generator"], list) else [given["generator"]]
        others = [torch.Generator("cpu").manual_seed(generator.initial_seed() + 1) for generator in generators]
        return {**given, "generator": others if isinstance(given["generator"], list) else others[0]}

    return Wrapped(pipeline, before=reseeded)


def scheduler_shift_wrong(pipeline: Any) -> Any:
    """The schedule is not shifted, as with a scheduler made from its class's defaults."""
    pipeline.scheduler = type(pipeline.scheduler).from_config({**pipeline.scheduler.config, "shift": 1.0})
    return pipeline


def timestep_off_by_one(pipeline: Any) -> Any:
    """The transformer is told the next step's timestep; the noise is removed by the right one."""
    scheduler = pipeline.scheduler
    set_timesteps = scheduler.set_timesteps

    def late(*arguments: Any, **options: Any) -> None:
        set_timesteps(*arguments, **options)
        scheduler.timesteps = torch.cat([scheduler.timesteps[1:], scheduler.timesteps.new_zeros(1)])

    scheduler.set_timesteps = late
    return pipeline


def last_step_dropped(pipeline: Any) -> Any:
    """The last denoising step is not taken."""
    scheduler = pipeline.scheduler
    set_timesteps = scheduler.set_timesteps

    def short(*arguments: Any, **options: Any) -> None:
        set_timesteps(*arguments, **options)
        scheduler.timesteps = scheduler.timesteps[:-1]

    scheduler.set_timesteps = short
    return pipeline


def every_other_step_cached(pipeline: Any) -> Any:
    """Every other step reuses the former step's output of the transformer, as a cache of features would."""
    scheduler = pipeline.scheduler
    step, kept = scheduler.step, list[torch.Tensor]()

    def cached(output: torch.Tensor, timestep: torch.Tensor, sample: torch.Tensor, **options: Any) -> Any:
        kept[:] = [output] if not (scheduler.step_index or 0) % 2 else kept
        return step(kept[0], timestep, sample, **options)

    scheduler.step = cached
    return pipeline
