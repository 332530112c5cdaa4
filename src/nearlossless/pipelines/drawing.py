"""(pipeline, request) -> picture, and what is left behind."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nearlossless.backends import BackendError
from nearlossless.cases import Generation
from nearlossless.fields import Device
from nearlossless.pipelines.requests import Request

if TYPE_CHECKING:
    from PIL import Image


def call(pipeline: Any, generation: Generation, request: Request, **options: Any) -> Any:
    """Run a pipeline on one request; initial latents come from the CPU, the same on every device."""
    import torch

    arguments: dict[str, Any] = {
        "prompt": request.prompt,
        "height": request.height,
        "width": request.width,
        "num_inference_steps": request.steps,
        "guidance_scale": generation.guidance_scale,
        "generator": torch.Generator("cpu").manual_seed(request.seed),
    }
    if generation.max_sequence_length is not None:
        arguments["max_sequence_length"] = generation.max_sequence_length
    return pipeline(**arguments, **options)


def draw(pipeline: Any, generation: Generation, request: Request) -> "Image.Image":
    """
    One picture.

    Raises:
        BackendError: The pipeline raised, or returned something that is not one picture.
    """
    from PIL import Image

    try:
        output = call(pipeline, generation, request)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # compiled code may even call sys.exit
        raise BackendError(f"drawing {request.width}x{request.height}: {type(error).__name__}: {error}") from error
    images = getattr(output, "images", None)
    if not isinstance(images, list) or len(images) != 1 or not isinstance(images[0], Image.Image):
        raise BackendError(f"the pipeline returned {type(output).__name__} without exactly one picture")
    return images[0]


def step_timer(clock: Callable[[], float]) -> tuple[list[float], dict[str, Any]]:
    """A list that a call fills with the time of each step's end, and the options that make it do so."""
    ends: list[float] = []

    def record(_pipeline: Any, _step: int, _timestep: Any, values: dict[str, Any]) -> dict[str, Any]:
        ends.append(clock())
        return values

    return ends, {"callback_on_step_end": record}


def release(device: Device) -> None:
    """Forget compiled code and give memory back, after the last reference to a pipeline is gone."""
    import gc

    import torch

    torch.compiler.reset()
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
