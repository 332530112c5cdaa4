"""Cases, recipes and thresholds: what `baselines/<case>/case.toml` may say, checked when it is loaded."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

CASE_FILE = "case.toml"
MINIATURE = "miniature"

Device = Literal["cpu", "cuda"]
Gate = Literal["speedup", "memory", "quality", "shapes", "startup"]
GATES: tuple[Gate, ...] = ("speedup", "memory", "quality", "shapes", "startup")
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
Size = Annotated[tuple[int, int], Field(description="(height, width) in pixels")]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Ratio = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Similarity = Annotated[float, Field(gt=0, le=1)]

LARGEST_SIDE = 4096
BUILT_IN_BACKENDS = ("inductor",)
_USER_BACKEND = re.compile(r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$")


class CaseError(Exception):
    """A case, recipe or backend that cannot be used; the message says what is allowed."""


class _Strict(BaseModel):
    """An unknown key is an error, and nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Thresholds(_Strict):
    """What the gates require. One that is absent is *not yet measured*: its gate is NOT_COMPARABLE."""

    min_speedup: Ratio | None = Field(None, description="Floor of baseline latency / compiled latency.")
    max_memory_ratio: Ratio | None = Field(None, description="Ceiling of compiled / baseline steady peak.")
    max_peak_gib: Ratio | None = Field(None, description="Ceiling of the compiled steady peak in GiB.")
    min_live_ssim: Similarity | None = Field(None, description="Worst tile against the live baseline.")
    min_stored_ssim: Similarity | None = Field(None, description="Worst tile against the stored picture.")
    foreign_min_stored_ssim: Similarity | None = Field(
        None, description="Looser band for pictures stored on other hardware; without it they are NOT_COMPARABLE."
    )
    max_clip_drop: float | None = Field(
        None, ge=0, le=100, description="Paired drop of the CLIP score of any picture, in points of 100."
    )
    max_compiles_after_warmup: int | None = Field(0, ge=0, description="Compiles while the sizes are cycled.")
    max_cold_start_s: Seconds | None = Field(None, description="Load and first call with empty caches.")
    max_warm_start_ratio: Ratio | None = Field(None, description="Ceiling of warm / cold first call.")

    def overridden_by(self, other: "Thresholds") -> "Thresholds":
        """These thresholds with those that `other` sets itself in their place."""
        return Thresholds(**{**self.model_dump(exclude_unset=True), **other.model_dump(exclude_unset=True)})


class Model(_Strict):
    """What is loaded."""

    source: str = Field(description="'miniature', a local folder, or a hub name with a pinned revision.")
    revision: str | None = Field(None, description="Commit of the hub repository; needed for a hub name.")
    dtype: dict[Device, Literal["float32", "bfloat16", "float16"]]

    @field_validator("dtype")
    @classmethod
    def _some_device(cls, value: dict[str, str]) -> dict[str, str]:
        if not value:
            raise ValueError("name at least one device, for example {cuda = 'bfloat16'}")
        return value


class Generation(_Strict):
    """What is drawn: every prompt with every seed at (height, width)."""

    prompts: tuple[Annotated[str, Field(min_length=1, max_length=2000)], ...] = Field(min_length=1)
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**63)], ...] = Field(min_length=1)
    height: int
    width: int
    steps: int = Field(ge=1, le=1000)
    guidance_scale: float = Field(ge=0, le=100)
    max_sequence_length: int | None = Field(None, ge=1, le=512, description="T5 tokens; None: the pipeline's own.")
    sizes: tuple[Size, ...] = Field(min_length=1, description="What the shapes gate cycles through.")
    side_range: tuple[int, int] = Field(
        (16, LARGEST_SIDE), description="Shortest and longest side that the model draws."
    )
    size_steps: int = Field(2, ge=1, description="Denoising steps of a picture that is drawn for its size only.")

    @model_validator(mode="after")
    def _sane_sizes(self) -> Self:
        low, high = self.side_range
        if not 16 <= low <= high <= LARGEST_SIDE:
            raise ValueError(f"side_range {low}, {high}: two numbers from 16 to {LARGEST_SIDE}, the smaller first")
        for height, width in ((self.height, self.width), *self.sizes):
            if not (low <= height <= high and low <= width <= high) or height % 16 or width % 16:
                raise ValueError(f"size {width}x{height}: sides are multiples of 16 from {low} to {high}")
        return self


class Sampling(_Strict):
    """How long the speedup gate may look before it says INCONCLUSIVE."""

    alpha: float = Field(0.001, gt=0, lt=0.5, description="Error rate of the verdict, valid at any stopping time.")
    min_pairs: int = Field(5, ge=3)
    max_pairs: int = Field(60, ge=3)
    budget_s: Seconds = 600.0
    clip: float = Field(0.05, gt=0, description="Pairs count at most this far (log-ratio) from the threshold.")

    @model_validator(mode="after")
    def _enough_pairs(self) -> Self:
        if self.max_pairs < self.min_pairs:
            raise ValueError(f"max_pairs ({self.max_pairs}) is below min_pairs ({self.min_pairs})")
        return self


class Recipe(_Strict):
    """How a pipeline is made faster."""

    backend: str
    touches: tuple[str, ...] | None = Field(None, description="Components it changes; None: perhaps all of them.")
    quantization: str | None = Field(None, description="Named by recipes that quantize.")
    options: dict[str, Any] = Field(default_factory=dict)
    thresholds: Thresholds = Thresholds()
    not_applicable: dict[Gate, Annotated[str, Field(min_length=10)]] = Field(
        default_factory=dict, description="Gates that make no sense for this recipe, each with its reason."
    )

    @field_validator("backend")
    @classmethod
    def _known_backend(cls, value: str) -> str:
        if value not in BUILT_IN_BACKENDS and not _USER_BACKEND.match(value):
            raise ValueError(f"a backend is one of {', '.join(BUILT_IN_BACKENDS)} or 'package.module:function'")
        return value

    @property
    def is_built_in(self) -> bool:
        """Whether the backend is ours; a user's own is first tried in a process of its own."""
        return self.backend in BUILT_IN_BACKENDS


class Override(_Strict):
    """Thresholds for one kind of device."""

    thresholds: Thresholds = Thresholds()
    recipes: dict[Name, Thresholds] = Field(default_factory=dict)


class Reference(_Strict):
    """A published measurement on a named GPU, shown beside ours."""

    source: str
    date: str
    recipe: str
    rows: dict[str, str] = Field(description="Metric as the source words it -> value as the source prints it.")


class Case(_Strict):
    """One `case.toml`. `name` is its folder's."""

    name: Name
    description: str = ""
    default: bool = Field(True, description="False: runs only when named with --case.")
    model: Model
    judge: str | None = Field(None, description="CLIP for the CLIP score: 'miniature' or a local folder.")
    generation: Generation
    sampling: Sampling = Sampling()
    thresholds: Thresholds = Thresholds()
    recipes: dict[Name, Recipe] = Field(min_length=1)
    overrides: dict[str, Override] = Field(
        default_factory=dict, description="Keyed by device ('cpu', 'cuda') or GPU name as torch prints it."
    )
    references: dict[str, tuple[Reference, ...]] = Field(default_factory=dict, description="Keyed by GPU name.")

    @model_validator(mode="after")
    def _overrides_name_recipes(self) -> Self:
        for key, override in self.overrides.items():
            unknown = set(override.recipes) - set(self.recipes)
            if unknown:
                raise ValueError(
                    f"overrides.{key!r}.recipes names {sorted(unknown)}; recipes are {sorted(self.recipes)}"
                )
        return self

    @property
    def devices(self) -> tuple[Device, ...]:
        """Devices the case may run on, in the order of the file."""
        return tuple(self.model.dtype)

    def thresholds_for(self, recipe_name: str | None, device: Device, hardware: str) -> Thresholds:
        """
        The thresholds in force: the case's, then the recipe's, then those for the device, then for the hardware.

        Args:
            recipe_name: None for a backend that no recipe names (`--backend`).
            device: "cpu" or "cuda".
            hardware: GPU name as torch prints it, or the CPU's instruction set.
        """
        layers = [self.thresholds]
        if recipe_name is not None:
            layers.append(self.recipes[recipe_name].thresholds)
        for key in (device, hardware):
            if key in self.overrides:
                layers.append(self.overrides[key].thresholds)
                if recipe_name in self.overrides[key].recipes:
                    layers.append(self.overrides[key].recipes[recipe_name])
        merged = layers[0]
        for layer in layers[1:]:
            merged = merged.overridden_by(layer)
        return merged


def _explain(error: ValidationError, path: Path) -> str:
    lines = [f"{path}: {error.error_count()} problem(s)"]
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"]) or "(file)"
        message = problem["msg"]
        if problem["type"] == "extra_forbidden":
            message = "unknown key"
            allowed = _allowed_keys(problem["loc"])
            if allowed:
                message += f"; allowed here: {', '.join(allowed)}"
        lines.append(f"  {key}: {message}")
    return "\n".join(lines)


def _allowed_keys(location: tuple[int | str, ...]) -> list[str]:
    model: Any = Case
    for part in location[:-1]:
        if isinstance(model, type) and issubclass(model, BaseModel) and part in model.model_fields:
            model = model.model_fields[str(part)].annotation
        model = _nested_model(model)
        if model is None:
            return []
    return sorted(set(model.model_fields) - {"name"})


def _nested_model(annotation: Any) -> type[BaseModel] | None:
    """The model inside `annotation`, through dict[...], tuple[...] and unions."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        found = _nested_model(argument)
        if found is not None:
            return found
    return None


def parse_case(name: str, content: Mapping[str, Any], path: Path) -> Case:
    """Check what a case file says; `path` is only named in errors."""
    if "name" in content:
        raise CaseError(f"{path}: a case has the name of its folder, '{name}'; remove the key 'name'")
    try:
        return Case(name=name, **content)
    except ValidationError as error:
        raise CaseError(_explain(error, path)) from None


def load_case(folder: Path) -> Case:
    """
    Read `<folder>/case.toml`.

    Raises:
        CaseError: The file is missing, is not TOML, or says something that is not allowed; names file and key.
    """
    path = folder / CASE_FILE
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CaseError(f"{path}: cannot be read ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CaseError(f"{path}: is not valid TOML: {error}") from None
    return parse_case(folder.name, content, path)


def case_names(baselines: Path) -> list[str]:
    """
    Names of the cases under a baselines folder.

    Raises:
        CaseError: There is none.
    """
    names = sorted(path.parent.name for path in baselines.glob(f"*/{CASE_FILE}"))
    if not names:
        raise CaseError(f"{baselines}: no case here; a case is a folder with a {CASE_FILE}")
    return names


def find_case(baselines: Path, name: str) -> Case:
    """The case called `name`; an unknown name is a CaseError that lists the known ones."""
    known = case_names(baselines)
    if name not in known:
        raise CaseError(f"no case '{name}' in {baselines}; there is: {', '.join(known)}")
    return load_case(baselines / name)
