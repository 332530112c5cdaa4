"""Field types that the parts of a `case.toml` share."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

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
Ratio = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Level = Annotated[float, Field(ge=0, le=255, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Similarity = Annotated[float, Field(gt=0, le=1)]


class Strict(BaseModel):
    """An unknown key is an error, and nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)
