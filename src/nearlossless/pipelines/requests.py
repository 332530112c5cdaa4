"""What a case asks a pipeline to draw."""

from dataclasses import dataclass, replace

from nearlossless.cases import Generation


@dataclass(frozen=True, slots=True)
class Request:
    """One picture to draw."""

    prompt: str
    seed: int
    height: int
    width: int
    steps: int


def requests(generation: Generation) -> list[Request]:
    """Every prompt with every seed, at the case's own size."""
    return [
        Request(prompt, seed, generation.height, generation.width, generation.steps)
        for prompt in generation.prompts
        for seed in generation.seeds
    ]


def short_request(generation: Generation) -> Request:
    """The first request in two denoising steps: enough to see what runs, at a size that is compiled already."""
    return replace(requests(generation)[0], steps=min(2, generation.steps))


def size_requests(generation: Generation) -> list[Request]:
    """The first prompt and seed at every size that the shapes gate cycles through, in few steps."""
    return [
        Request(generation.prompts[0], generation.seeds[0], height, width, generation.size_steps)
        for height, width in generation.sizes
    ]
