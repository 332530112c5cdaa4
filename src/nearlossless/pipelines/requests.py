"""What a case asks a pipeline to draw, and how many pictures at a time."""

import dataclasses

from nearlossless.cases import Generation


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
