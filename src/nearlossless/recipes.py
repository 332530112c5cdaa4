"""How a pipeline is made faster."""

import re
from typing import Annotated, Any

from pydantic import Field, field_validator

from nearlossless.fields import Device, Gate, Reason, Strict
from nearlossless.thresholds import Thresholds

BUILT_IN_BACKENDS = ("inductor", "nexfort")
_USER_BACKEND = re.compile(r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$")
EnvironmentName = Annotated[str, Field(pattern=r"^(NEXFORT|ONEDIFF)_[A-Z0-9_]+$")]


class Recipe(Strict):
    """How a pipeline is made faster."""

    backend: str
    default: bool = Field(True, description="False: runs only when named with --recipe.")
    devices: tuple[Device, ...] | None = Field(None, description="Where it can run; None: wherever the case does.")
    touches: tuple[str, ...] | None = Field(None, description="Components it changes; None: perhaps all of them.")
    quantization: dict[str, str] = Field(
        default_factory=dict, description="Component -> scheme, applied before the backend; see backends/quantization."
    )
    environment: dict[EnvironmentName, str] = Field(
        default_factory=dict, description="OneDiff's own environment variables, set while the recipe is judged."
    )
    options: dict[str, Any] = Field(default_factory=dict)
    thresholds: Thresholds = Thresholds()
    not_applicable: dict[Gate, Reason] = Field(
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
