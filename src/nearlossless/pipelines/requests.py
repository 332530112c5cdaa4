"""What a case asks a pipeline to draw, and how many pictures at a time."""

import dataclasses

from nearlossless.cases.case import Generation, Shapes


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """One picture to draw."""

    prompt: str
    seed: int
    height: int
    width: int
    steps: int


# What one call of a pipeline draws: requests of one size and number of steps.
Batch = tuple[Request, ...]


def requests(generation: Generation) -> list[Request]:
    """Every prompt with every seed, at the case's own size."""
    return [
        Request(prompt, seed, generation.height, generation.width, generation.steps)
        for prompt in generation.prompts
        for seed in generation.seeds
    ]


def batches(generation: Generation) -> list[Batch]:
    """The case's requests in their order, `batch_size` to a call."""
    asked, size = requests(generation), generation.batch_size
    return [tuple(asked[start : start + size]) for start in range(0, len(asked), size)]


def short_batch(generation: Generation) -> Batch:
    """The first batch in two denoising steps: enough to see what runs, at a size that is compiled already."""
    steps = min(2, generation.steps)
    return tuple(dataclasses.replace(request, steps=steps) for request in batches(generation)[0])


def size_requests(generation: Generation) -> list[Request]:
    """The first prompt and seed at every size that the shapes gate cycles through, in few steps."""
    return [batch[0] for batch in size_batches(generation)]


def size_batches(generation: Generation) -> list[Batch]:
    """The first batch at every size that the shapes gate cycles through, in few steps."""
    first = batches(generation)[0]
    return [
        tuple(
            dataclasses.replace(request, height=height, width=width, steps=generation.size_steps) for request in first
        )
        for height, width in generation.sizes
    ]


@dataclasses.dataclass(frozen=True, slots=True)
class Variation:
    """One call of the shapes gate: a batch, its guidance, and what is told of it beside its size."""

    batch: Batch
    guidance_scale: float
    name: str = ""
    is_warmup: bool = False  # whether the denoiser's batch may be one before or now: `dynamic=True` compiles for each


def size_variations(generation: Generation) -> list[Variation]:
    """The case's own request at every size."""
    return [Variation(batch, generation.guidance_scale) for batch in size_batches(generation)]


def other_variations(generation: Generation, shapes: Shapes) -> list[Variation]:
    """What else changes between calls, one thing at a time, at the smallest size; the case's own is left out."""
    scale = generation.guidance_scale
    base = min(size_batches(generation), key=lambda batch: batch[0].height * batch[0].width)
    counts = [count for count in shapes.batch_sizes if count != len(base)]
    warm = {1, min((count for count in counts if count > 1), default=1)} if len(base) == 1 else {1}
    found = [Variation(_of_size(base, n), scale, f"batch of {n}", is_warmup=n in warm) for n in counts]
    found += [
        Variation(base, other, f"guidance {other:g}", is_warmup=True)
        for other in shapes.guidance_scales
        if other != scale
    ]
    for words in shapes.prompt_words:
        prompts = [_of_words(request.prompt, words) for request in base]
        batch = tuple(dataclasses.replace(r, prompt=prompt) for r, prompt in zip(base, prompts, strict=True))
        found.append(Variation(batch, scale, f"prompt of {words} {'word' if words == 1 else 'words'}"))
    for steps in shapes.steps:
        if steps != generation.size_steps:
            batch = tuple(dataclasses.replace(request, steps=steps) for request in base)
            found.append(Variation(batch, scale, f"{steps} {'step' if steps == 1 else 'steps'}"))
    return found


def _of_size(batch: Batch, count: int) -> Batch:
    """So many requests, each of a seed of its own."""
    rounds = [dataclasses.replace(r, seed=r.seed + turn) for turn in range(count) for r in batch]
    return tuple(rounds[:count])


def _of_words(prompt: str, count: int) -> str:
    words = prompt.split() or [prompt]
    return " ".join((words * (count // len(words) + 1))[:count])
