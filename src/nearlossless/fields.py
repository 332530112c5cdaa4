"""Field types that the parts of a `case.toml`, and those of a record, share."""

from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

Device = Literal["cpu", "cuda"]
Gate = Literal[
    "speedup", "memory", "quality", "shapes", "startup", "stack-speed", "stack-memory", "stack-pictures", "evaluation"
]
NotApplicable = Literal[Gate, "parity", "replay"]
GATES: tuple[Gate, ...] = ("speedup", "memory", "quality", "shapes", "startup")
STACK_GATES: tuple[Gate, ...] = ("stack-speed", "stack-memory", "stack-pictures")  # only with --against
RELEASE_GATES: tuple[Gate, ...] = ("evaluation",)  # only with -m release
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
Reason = Annotated[str, Field(min_length=10)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Ratio = Annotated[float, Field(gt=0, lt=1e12, allow_inf_nan=False)]  # beyond, nothing is measured or drawn
Level = Annotated[float, Field(ge=0, le=255, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Int64 = Annotated[int, Field(ge=-(2**63), lt=2**63)]  # what other languages read, and no float overflows at
Similarity = Annotated[float, Field(gt=0, le=1)]


class Strict(BaseModel):
    """An unknown key is an error, and nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Layer(Strict):
    """
    A table that lies over more general ones: what it does not set stays open, wherever it is written down.

    Written out, a default would come back as if it had been set, and override or loosen what lies below.
    """

    @model_serializer(mode="wrap")
    def _only_what_is_set(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in write(self).items() if name in self.model_fields_set}


def _inside(name: str) -> str:
    path = PurePosixPath(name)
    # A colon would make a link out of a name, a backslash is a separator on other systems.
    if path.is_absolute() or ".." in path.parts or any(mark in name for mark in ":\\") or not name.isprintable():
        raise ValueError(f"{name!r} does not name a file inside the report folder")
    return name


def _in_a_path(name: str) -> str:
    if not name or "/" in name or "\\" in name or not name.isprintable():
        raise ValueError(f"{name!r} cannot be part of a file's name")
    return name


InsideFolder = Annotated[str, AfterValidator(_inside)]  # a file's name, relative to the report folder
PathPart = Annotated[str, AfterValidator(_in_a_path)]  # of a path: no separators, nothing that cannot be printed
