"""Cases: what `baselines/<case>/case.toml` may say, as checked values."""

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from nearlossless.cases.loosening import NamedLayer, loosened_without_reason, merged
from nearlossless.cases.recipes import Recipe
from nearlossless.cases.references import Reference
from nearlossless.cases.thresholds import Override, Thresholds
from nearlossless.cases.waivers import Waiver
from nearlossless.evaluation.bands import Evaluation
from nearlossless.fields import Device, Name, Seconds, Strict

MINIATURE = "miniature"
Size = Annotated[tuple[int, int], Field(description="(height, width) in pixels")]

Offload = Literal["model", "sequential"]

LARGEST_SIDE = 4096
COMPILED_PARITY_RATIO = 1.5  # of a step, in units of the baseline's own error; SGLang admits kernels by the same


class CaseError(Exception):
    """A case, recipe or backend that cannot be used; the message says what is allowed."""


class Lora(Strict):
    """A low-rank adapter of the denoiser, as a local safetensors file."""

    file: Annotated[str, Field(pattern=r"\.safetensors$", description="Local path, of a file ending in .safetensors.")]
    scale: float = Field(1.0, allow_inf_nan=False, description="Factor of its effect; negative reverses it.")

    @field_validator("scale")
    @classmethod
    def _has_effect(cls, value: float) -> float:
        if value == 0:
            raise ValueError("a LoRA of scale 0 does nothing; remove it")
        return value


class Model(Strict):
    """What is loaded."""

    source: str = Field(description="'miniature', a local folder, or a hub name with a pinned revision.")
    revision: str | None = Field(None, description="Commit of the hub repository; needed for a hub name.")
    weights: Literal["trained", "synthetic"] = Field(
        "trained", description="'synthetic': seeded random weights in the architecture that `source` names."
    )
    dtype: dict[Device, Literal["float32", "bfloat16", "float16"]]
    offload: Offload | None = Field(
        None, description="Components (or their layers) wait on the CPU and visit the GPU for their call."
    )
    vae_tiling: bool = Field(False, description="Decode large pictures tile by tile.")
    vae_slicing: bool = Field(False, description="Decode a batch picture by picture.")
    loras: tuple[Lora, ...] = Field((), description="The first is loaded; the shapes gate swaps to each other one.")

    @field_validator("dtype")
    @classmethod
    def _some_device(cls, value: dict[str, str]) -> dict[str, str]:
        if not value:
            raise ValueError("name at least one device, for example {cuda = 'bfloat16'}")
        return value

    @model_validator(mode="after")
    def _offload_has_a_gpu(self) -> Self:
        if self.offload is not None and "cpu" in self.dtype:
            raise ValueError(
                f"offload = '{self.offload}' needs a GPU to offload from: name only cuda in dtype, and gate the CPU in"
                " a case of its own"
            )
        return self

    @model_validator(mode="after")
    def _each_lora_once(self) -> Self:
        if len(set(self.loras)) != len(self.loras):
            raise ValueError("a LoRA is listed twice with the same scale: swapping to it would change nothing")
        return self


class Generation(Strict):
    """What is drawn: every prompt with every seed at (height, width)."""

    prompts: tuple[Annotated[str, Field(min_length=1, max_length=2000)], ...] = Field(min_length=1)
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**63)], ...] = Field(min_length=1)
    height: int
    width: int
    batch_size: int = Field(1, ge=1, le=64, description="Pictures a call; divides prompts x seeds.")
    steps: int = Field(ge=1, le=1000)
    guidance_scale: float = Field(ge=0, le=100)
    max_sequence_length: int | None = Field(None, ge=1, le=512, description="T5 tokens; None: the pipeline's own.")
    sizes: tuple[Size, ...] = Field(min_length=1, description="What the shapes gate cycles through.")
    side_range: tuple[int, int] = Field(
        (16, LARGEST_SIDE), description="Shortest and longest side that the model draws."
    )
    size_steps: int = Field(2, ge=1, description="Denoising steps of a picture that is drawn for its size only.")
    parity_steps: int | None = Field(
        None, ge=2, description="Steps at which step parity is measured, first and last among them; None: six."
    )

    @model_validator(mode="after")
    def _sane_sizes(self) -> Self:
        low, high = self.side_range
        if not 16 <= low <= high <= LARGEST_SIDE:
            raise ValueError(f"side_range {low}, {high}: two numbers from 16 to {LARGEST_SIDE}, the smaller first")
        for height, width in ((self.height, self.width), *self.sizes):
            if not (low <= height <= high and low <= width <= high) or height % 16 or width % 16:
                raise ValueError(f"size {width}x{height}: sides are multiples of 16 from {low} to {high}")
        return self

    @model_validator(mode="after")
    def _whole_batches(self) -> Self:
        pictures = len(self.prompts) * len(self.seeds)
        if pictures % self.batch_size:
            raise ValueError(f"batch_size {self.batch_size} does not divide {pictures} pictures (prompts x seeds)")
        return self


class Shapes(Strict):
    """What the shapes gate changes beside the size, each around the smallest of the case's sizes."""

    batch_sizes: tuple[Annotated[int, Field(ge=1, le=64)], ...] = Field((1, 2, 3), description="Pictures a call.")
    guidance_scales: tuple[Annotated[float, Field(ge=0, le=100)], ...] = Field(
        (1.0,), description="At 1 or below SD3 and SDXL draw without guidance, at half the batch."
    )
    prompt_words: tuple[Annotated[int, Field(ge=1, le=2000)], ...] = Field(
        (1, 600), description="Lengths of the prompt; the longest encoder takes 512 tokens."
    )
    steps: tuple[Annotated[int, Field(ge=1, le=1000)], ...] = Field((3,), description="Denoising steps.")
    limit_s: Seconds = Field(900.0, description="Until a call is taken for hung and interrupted.")


class Sampling(Strict):
    """How long the speedup gate may look before it says INCONCLUSIVE, and how long starts and calls for leaks take."""

    alpha: float = Field(0.001, ge=1e-12, lt=0.5, description="Error rate of the verdict, valid at any stopping time.")
    min_pairs: int = Field(5, ge=3)
    max_pairs: int = Field(80, ge=3)
    budget_s: Seconds = 600.0
    processes: int = Field(
        1, ge=1, le=16, description="How many processes the speedup is measured in, each with empty caches of its own."
    )
    clip: float = Field(
        0.05,
        gt=0,
        description="Pairs count at most this far (log-ratio) from the threshold, or less: see docs/speed.md.",
    )
    startup_limit_s: Seconds = Field(
        1800.0, description="Until a process that starts, compiles and draws is taken for hung and killed."
    )
    leak_calls: int = Field(160, ge=40, description="Most calls that are made to see whether memory grows.")
    leak_budget_s: Seconds = Field(60.0, description="Until they end, from their second round on.")

    @model_validator(mode="after")
    def _enough_pairs(self) -> Self:
        if self.max_pairs < self.min_pairs:
            raise ValueError(f"max_pairs ({self.max_pairs}) is below min_pairs ({self.min_pairs})")
        return self

    def shared_by(self, count: int) -> Self:
        """For each of so many questions that all have to be right: the error rate is divided (Bonferroni)."""
        return self.model_copy(update={"alpha": self.alpha / count})


class Case(Strict):
    """One `case.toml`. `name` is its folder's."""

    name: Name
    description: str = ""
    default: bool = Field(True, description="False: runs only when named with --case.")
    model: Model
    judge: str | None = Field(None, description="CLIP for the CLIP score: 'miniature' or a local folder.")
    generation: Generation
    shapes: Shapes = Shapes()
    sampling: Sampling = Sampling()
    evaluation: Evaluation = Evaluation()
    thresholds: Thresholds = Thresholds()
    recipes: dict[Name, Recipe] = Field(min_length=1)
    overrides: dict[str, Override] = Field(
        default_factory=dict, description="Keyed by device ('cpu', 'cuda') or GPU name as torch prints it."
    )
    references: dict[str, tuple[Reference, ...]] = Field(default_factory=dict, description="Keyed by GPU name.")
    waivers: tuple[Waiver, ...] = Field((), description="Known regressions, each with a reason and an end.")

    @model_validator(mode="after")
    def _slicing_has_a_batch(self) -> Self:
        if self.model.vae_slicing and self.generation.batch_size == 1:
            raise ValueError(
                "model.vae_slicing decodes a batch picture by picture, and batch_size is 1: remove it, or raise"
                " generation.batch_size"
            )
        return self

    @model_validator(mode="after")
    def _quantized_weights_are_there(self) -> Self:
        quantizing = [name for name, recipe in self.recipes.items() if recipe.quantization]
        if self.model.offload == "sequential" and quantizing:
            raise ValueError(
                f"model.offload = 'sequential' takes the weights off the modules that {quantizing} quantize(s): choose"
                " offload = 'model'"
            )
        if self.model.loras and quantizing:
            raise ValueError(
                f"model.loras adds layers to the modules that {quantizing} quantize(s), and PEFT cannot swap quantized"
                " ones: give the quantized recipes a case without LoRAs"
            )
        return self

    @model_validator(mode="after")
    def _references_name_recipes(self) -> Self:
        unknown = {reference.recipe for found in self.references.values() for reference in found} - set(self.recipes)
        if unknown:
            raise ValueError(f"references name {sorted(unknown)}; recipes are {sorted(self.recipes)}")
        return self

    @model_validator(mode="after")
    def _waivers_name_recipes(self) -> Self:
        for waiver in self.waivers:
            if waiver.recipe not in self.recipes:
                raise ValueError(f"waivers name '{waiver.recipe}'; recipes are {sorted(self.recipes)}")
            if waiver.device not in {None, *self.devices}:
                raise ValueError(f"waivers name '{waiver.device}'; the case runs on {', '.join(self.devices)}")
        return self

    @model_validator(mode="after")
    def _overrides_name_recipes(self) -> Self:
        for key, override in self.overrides.items():
            unknown = set(override.recipes) - set(self.recipes)
            if unknown:
                raise ValueError(
                    f"overrides.{key!r}.recipes names {sorted(unknown)}; recipes are {sorted(self.recipes)}"
                )
        return self

    @model_validator(mode="after")
    def _looser_thresholds_have_reasons(self) -> Self:
        found = [
            problem
            for recipe in (None, *self.recipes)
            for device in self.devices
            for hardware in (device, *self._hardware_of(device))
            for problem in loosened_without_reason(self._layers(recipe, device, hardware))
        ]
        if found:
            raise ValueError("; ".join(dict.fromkeys(found)))
        return self

    @property
    def devices(self) -> tuple[Device, ...]:
        """Devices the case may run on, in the order of the file."""
        return tuple(self.model.dtype)

    def baseline_does_not_fit(self, device: Device, hardware: str) -> str | None:
        """Why no baseline can be run on this hardware, as the hardware's or the device's override says."""
        reasons = [self.overrides[key].baseline_does_not_fit for key in (hardware, device) if key in self.overrides]
        return next((reason for reason in reasons if reason is not None), None)

    def thresholds_for(self, recipe_name: str | None, device: Device, hardware: str) -> Thresholds:
        """
        The thresholds in force: the case's, then the recipe's, then those for the device, then for the hardware.

        Where no layer names `max_parity_ratio`, a recipe that quantizes nothing is held to what rounding explains.

        Args:
            recipe_name: None for a backend that no recipe names (`--backend`).
            device: "cpu" or "cuda".
            hardware: GPU name as torch prints it, or the CPU's instruction set.
        """
        in_force = merged(self._layers(recipe_name, device, hardware))
        only_compiles = recipe_name is None or not self.recipes[recipe_name].quantization
        if in_force.max_parity_ratio is None and only_compiles:
            return in_force.overridden_by(Thresholds(max_parity_ratio=COMPILED_PARITY_RATIO))
        return in_force

    def _hardware_of(self, device: Device) -> list[str]:
        """Hardware that overrides name; instruction sets of CPUs start with "cpu-"."""
        names = [key for key in self.overrides if key not in {"cpu", "cuda"}]
        return [name for name in names if name.startswith("cpu-") == (device == "cpu")]

    def _layers(self, recipe_name: str | None, device: Device, hardware: str) -> list[NamedLayer]:
        layers = [("thresholds", self.thresholds)]
        if recipe_name is not None:
            layers.append((f"recipes.{recipe_name}.thresholds", self.recipes[recipe_name].thresholds))
        for key in dict.fromkeys((device, hardware)):
            if key not in self.overrides:
                continue
            table, override = f'overrides."{key}"', self.overrides[key]
            layers.append((f"{table}.thresholds", override.thresholds))
            if recipe_name in override.recipes:
                layers.append((f"{table}.recipes.{recipe_name}", override.recipes[recipe_name]))
        return layers
