"""Draw by hand, with the flags of OneDiff's script: a flag that cannot be served is an error, never ignored."""

import dataclasses
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from nearlossless.atomic import write_bytes
from nearlossless.baselines.expected import encode_png
from nearlossless.cases.case import Case, CaseError
from nearlossless.cases.files import find_case, parse_case
from nearlossless.environment import environment_variables
from nearlossless.fields import Device
from nearlossless.gates import GIB
from nearlossless.memory.peaks import peak_meter
from nearlossless.pipelines.compiling import build_compiled
from nearlossless.pipelines.drawing import draw, draw_batch
from nearlossless.pipelines.loading import build_baseline
from nearlossless.pipelines.phases import PhasedCalls
from nearlossless.pipelines.requests import Request, requests, size_requests
from nearlossless.report.console import render_table
from nearlossless.report.table import Row
from nearlossless.speed.timing import synchronizer, timed

T5 = "text_encoder_3"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """Settings from the command line; None leaves the case's."""

    prompt: str | None = None
    seed: int | None = None
    height: int | None = None
    width: int | None = None
    steps: int | None = None
    guidance_scale: float | None = None

    def applied_to(self, baselines: Path, name: str) -> Case:
        """The case with these settings, checked like a case file."""
        case = find_case(baselines, name)
        generation = {**case.generation.model_dump(), "batch_size": 1}  # by hand, one picture is drawn at a time
        for key in ("height", "width", "steps", "guidance_scale"):
            if getattr(self, key) is not None:
                generation[key] = getattr(self, key)
        if self.prompt is not None:
            generation["prompts"] = (self.prompt,)
        if self.seed is not None:
            generation["seeds"] = (self.seed,)
        content = {**case.model_dump(exclude={"name"}, exclude_unset=True), "generation": generation}
        content["model"]["vae_slicing"] = False  # of a batch
        return parse_case(name, content, baselines / name / "case.toml with the command line's settings")


def choose_device(case: Case, wanted: str | None) -> Device:
    """The device to draw on; CaseError where the case or the machine does not have it."""
    import torch

    if wanted is None:
        wanted = "cuda" if "cuda" in case.devices and torch.cuda.is_available() else case.devices[0]
    for device in case.devices:
        if device == wanted:
            if device == "cuda" and not torch.cuda.is_available():
                raise CaseError(f"case '{case.name}' on cuda: this machine has no CUDA GPU that torch can use")
            return device
    raise CaseError(f"case '{case.name}' does not run on '{wanted}'; it names: {', '.join(case.devices)}")


def choose_recipe(case: Case, name: str | None, *, transform: bool, quantize: bool, speedup_t5: bool) -> str | None:
    """
    The recipe that the flags ask for; None draws the baseline.

    Raises:
        CaseError: The name does not exist, flags contradict it, or no recipe of the case does what they ask.
    """
    flags = {"--transform": transform, "--quantize": quantize, "--speedup-t5": speedup_t5}
    wanted = [flag for flag, is_set in flags.items() if is_set]
    if name is not None and name not in case.recipes:
        raise CaseError(f"case '{case.name}' has no recipe '{name}'; there is: {', '.join(case.recipes)}")
    if name is None and not wanted:
        return None
    if speedup_t5 and not (quantize or transform):
        raise CaseError("--speedup-t5 says what else to make faster: give --transform or --quantize too")
    for candidate, recipe in case.recipes.items():
        if name not in (None, candidate):
            continue
        touches_t5 = recipe.touches is None or T5 in recipe.touches
        quantizes = bool(recipe.quantization)
        # Without a name the flags choose exactly; beside a name they only must not contradict it.
        if name is None and (quantizes != quantize or touches_t5 != speedup_t5):
            continue
        if (quantize and not quantizes) or (speedup_t5 and not touches_t5):
            continue
        return candidate
    recipes = ", ".join(
        f"{key} ({'quantizes' if recipe.quantization else 'compiles'} {', '.join(recipe.touches or ('everything',))})"
        for key, recipe in case.recipes.items()
    )
    raise CaseError(f"case '{case.name}' has no recipe for {' '.join(wanted)}; its recipes: {recipes}")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one pipeline took."""

    steps_per_s: float | None
    end_to_end_s: float
    peak_bytes: int
    first_call_s: float


def _measure(pipeline: Any, case: Case, device: Device, request: Request) -> tuple[Measured, Any]:
    meter, synchronize = peak_meter(device), synchronizer(device)
    picture: Any = None

    def once(**options: Any) -> None:
        nonlocal picture
        (picture,) = draw_batch(pipeline, case.generation, [request], **options)

    first_call_s = timed(once, synchronize=synchronize)
    calls = PhasedCalls(once, pipeline, device)
    meter.reset()
    end_to_end_s = timed(calls, synchronize=synchronize)
    peak_bytes = meter.read().gated_bytes
    measured = Measured(
        steps_per_s=next((times.steps_per_s for times in calls.times(1)), None),
        end_to_end_s=end_to_end_s,
        peak_bytes=peak_bytes,
        first_call_s=first_call_s,
    )
    return measured, picture


def _rows(baseline: Measured, compiled: Measured | None) -> list[Row]:
    def row(label: str, unit: str, pick: Callable[[Measured], float | None], digits: int) -> Row:
        second = pick(compiled) if compiled is not None else None
        return Row(label=label, unit=unit, baseline=pick(baseline), compiled=second, digits=digits)

    return [
        row("Iteration speed", "it/s", lambda m: m.steps_per_s, 2),
        row("End-to-end time", "s", lambda m: m.end_to_end_s, 3),
        row("Peak memory", "GiB", lambda m: m.peak_bytes / GIB, 3),
        row("First call", "s", lambda m: m.first_call_s, 2),
    ]


def _cycle(pipeline: Any, case: Case, device: Device, say: Callable[[str], None]) -> None:
    for request in size_requests(case.generation):
        full = dataclasses.replace(request, steps=case.generation.steps)
        seconds = timed(partial(draw, pipeline, case.generation, full), synchronize=synchronizer(device))
        say(f"{request.width}x{request.height}: {seconds:.3f} s")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """What the command line says of recipe and machine."""

    recipe: str | None = None
    transform: bool = False
    quantize: bool = False
    speedup_t5: bool = False
    device: str | None = None


def generate(
    baselines: Path,
    case: str,
    overrides: Overrides,
    flags: Flags,
    *,
    saved_image: Path,
    every_size: bool,
    say: Callable[[str], None],
    colour: bool,
) -> str:
    """
    Choose case, device and recipe as the command line says, and draw.

    Returns:
        The benchmark's table as text.

    Raises:
        CaseError: One of them does not exist or does not fit the others.
        BackendError, BackendUnavailable: As `draw_by_hand`.
    """
    chosen = overrides.applied_to(baselines, case)
    device = choose_device(chosen, flags.device)
    recipe = choose_recipe(
        chosen, flags.recipe, transform=flags.transform, quantize=flags.quantize, speedup_t5=flags.speedup_t5
    )
    rows = draw_by_hand(chosen, recipe, device, saved_image=saved_image, every_size=every_size, say=say)
    return render_table(rows, title=f"{chosen.name} / {recipe or 'baseline'} / {device}", colour=colour)


def draw_by_hand(
    case: Case,
    recipe_name: str | None,
    device: Device,
    *,
    saved_image: Path,
    every_size: bool,
    say: Callable[[str], None],
) -> list[Row]:
    """
    Draw the case's first request with the baseline and, if there is a recipe, with it; save the last picture.

    Returns:
        The rows of the benchmark's table.

    Raises:
        CaseError: The recipe does not run on this device, or the picture's name is none of a PNG.
        BackendError, BackendUnavailable: As `build_compiled`.
    """
    if saved_image.suffix.lower() != ".png":
        raise CaseError(f"--saved-image {saved_image}: pictures are written as PNG, give it the suffix .png")
    recipe = case.recipes[recipe_name] if recipe_name is not None else None
    if recipe is not None and recipe.devices is not None and device not in recipe.devices:
        raise CaseError(f"recipe '{recipe_name}' runs on {', '.join(recipe.devices)} only, not on {device}")
    saved_image.parent.mkdir(parents=True, exist_ok=True)
    request = requests(case.generation)[0]
    start = time.perf_counter()
    say(f"loading {case.name} on {device}")
    pipeline = build_baseline(case, device)
    say(f"loaded in {time.perf_counter() - start:.1f} s; drawing with the baseline")
    baseline, picture = _measure(pipeline, case, device, request)
    compiled = None
    if recipe is not None:
        say(f"compiling and drawing with {recipe_name}")
        with environment_variables(recipe.environment):
            pipeline = build_compiled(pipeline, recipe)
            compiled, picture = _measure(pipeline, case, device, request)
            if every_size:
                _cycle(pipeline, case, device, say)
    elif every_size:
        _cycle(pipeline, case, device, say)
    write_bytes(saved_image, encode_png(picture))
    return _rows(baseline, compiled)
