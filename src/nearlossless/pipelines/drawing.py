"""(pipeline, batch of requests) -> pictures, and what is left behind."""

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nearlossless.backends import BackendError
from nearlossless.cases.case import Generation
from nearlossless.fields import Device
from nearlossless.pipelines.placing import bring_back
from nearlossless.pipelines.requests import Request

if TYPE_CHECKING:
    from PIL import Image


def call(pipeline: Any, generation: Generation, batch: Sequence[Request], **options: Any) -> Any:
    """
    Run a pipeline once on a batch of requests of one size.

    Initial latents come from the CPU, the same on every device, and from a generator for each picture, the same in
    every batch.
    """
    import torch

    prompts = [request.prompt for request in batch]
    generators = [torch.Generator("cpu").manual_seed(request.seed) for request in batch]
    is_single = len(batch) == 1
    arguments: dict[str, Any] = {
        "prompt": prompts[0] if is_single else prompts,
        "height": batch[0].height,
        "width": batch[0].width,
        "num_inference_steps": batch[0].steps,
        "guidance_scale": generation.guidance_scale,
        "generator": generators[0] if is_single else generators,
    }
    if generation.max_sequence_length is not None:
        arguments["max_sequence_length"] = generation.max_sequence_length
    return pipeline(**arguments, **options)


def latents_sha256(pipeline: Any, request: Request, dtype: str) -> str | None:
    """
    SHA-256 of the initial latents that a request's seed gives with this torch.

    They are made as diffusers makes them, on the CPU, but not by the pipeline, which may be what is judged: of shape
    (1, the decoder's channels, height and width over its factor), before a pipeline scales or packs them.

    Args:
        pipeline: Gives the shape, by its VAE.
        request: Gives seed and size.
        dtype: Of the pipeline, as a case names it.

    Returns:
        The hash of their bytes; None for a pipeline without such a VAE.
    """
    import torch

    channels = getattr(getattr(getattr(pipeline, "vae", None), "config", None), "latent_channels", None)
    factor = getattr(pipeline, "vae_scale_factor", None)
    if channels is None or factor is None:
        return None
    shape = (1, channels, request.height // factor, request.width // factor)
    generator = torch.Generator("cpu").manual_seed(request.seed)
    latents = torch.randn(shape, generator=generator, dtype=getattr(torch, dtype))
    return hashlib.sha256(latents.view(torch.uint8).numpy().tobytes()).hexdigest()


def draw_batch(pipeline: Any, generation: Generation, batch: Sequence[Request], **options: Any) -> "list[Image.Image]":
    """
    One picture a request, by one call of the pipeline, which gets the options beside what the case says.

    Raises:
        BackendError: The pipeline raised, or returned something else than a picture for each request.
    """
    from PIL import Image

    try:
        output = call(pipeline, generation, batch, **options)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # compiled code may even call sys.exit
        bring_back(pipeline)  # the next pipeline would meet what lies on the GPU
        where = f"drawing {batch[0].width}x{batch[0].height}"
        raise BackendError(f"{where}: {type(error).__name__}: {error}") from error
    images = getattr(output, "images", None)
    pictures = [image for image in images if isinstance(image, Image.Image)] if isinstance(images, list) else []
    if not isinstance(images, list) or not len(pictures) == len(images) == len(batch):
        count = "exactly one picture" if len(batch) == 1 else f"exactly {len(batch)} pictures"
        raise BackendError(f"the pipeline returned {type(output).__name__} without {count}")
    return pictures


def draw(pipeline: Any, generation: Generation, request: Request) -> "Image.Image":
    """One picture, drawn alone; raises what `draw_batch` raises."""
    return draw_batch(pipeline, generation, [request])[0]


def release(device: Device) -> None:
    """Forget compiled code and give memory back, after the last reference to a pipeline is gone."""
    import gc

    import torch

    torch.compiler.reset()
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
