"""How a pipeline is made faster."""

import re
from typing import Annotated, Any, Self

from pydantic import Field, field_validator, model_validator

from nearlossless.cases.thresholds import Thresholds
from nearlossless.fields import Device, NotApplicable, Reason, Strict

INDUCTOR, NEXFORT = "inductor", "nexfort"
BUILT_IN_BACKENDS = (INDUCTOR, NEXFORT)
FLOAT8, INT8, NEXFORT_SCHEME = "float8", "int8", "nexfort:"
RESTRUCTURING = ("fuse_qkv", "channels_last")  # inductor's options that list components
_NEXFORT_TYPE = re.compile(rf"^{NEXFORT_SCHEME}[a-z0-9_]+$")
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
    artifacts: bool = Field(
        False, description="Also measure a start from torch's compile artifacts, saved by the cold start."
    )
    thresholds: Thresholds = Thresholds()
    not_applicable: dict[NotApplicable, Reason] = Field(
        default_factory=dict, description="What makes no sense for this recipe: gates, or 'parity', each with a reason."
    )

    @field_validator("backend")
    @classmethod
    def _known_backend(cls, value: str) -> str:
        if value not in BUILT_IN_BACKENDS and not _USER_BACKEND.fullmatch(value):
            raise ValueError(f"a backend is one of {', '.join(BUILT_IN_BACKENDS)} or 'package.module:function'")
        return value

    @field_validator("quantization")
    @classmethod
    def _known_schemes(cls, value: dict[str, str]) -> dict[str, str]:
        for component, scheme in value.items():
            if scheme not in (FLOAT8, INT8) and not _NEXFORT_TYPE.fullmatch(scheme):
                raise ValueError(
                    f"quantization of {component}: a scheme is '{FLOAT8}', '{INT8}' or '{NEXFORT_SCHEME}<quant_type>',"
                    f" not '{scheme}'"
                )
        return value

    @model_validator(mode="after")
    def _quantizes_what_it_touches(self) -> Self:
        untouched = set(self.quantization) - set(self.touches or self.quantization)
        if untouched:
            raise ValueError(f"quantization names {sorted(untouched)}, which 'touches' leaves out")
        return self

    @model_validator(mode="after")
    def _restructures_what_it_touches(self) -> Self:
        is_checked = self.backend == INDUCTOR and self.touches is not None
        for option in RESTRUCTURING if is_checked else ():
            untouched = set(self.options.get(option, ())) - set(self.touches or ())
            if untouched:
                raise ValueError(f"options.{option} names {sorted(untouched)}, which 'touches' leaves out")
        return self

    @property
    def is_built_in(self) -> bool:
        """Whether the backend is ours; a user's own is first tried in a process of its own."""
        return self.backend in BUILT_IN_BACKENDS

    @property
    def transforms(self) -> bool:
        """Whether nexfort's `transform` puts modules of its own in place, which Dynamo does not see."""
        return self.backend == NEXFORT and self.options.get("api") == "transform"
