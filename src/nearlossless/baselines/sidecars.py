"""Sidecars of expected pictures: how to draw each again, whether it may be compared, and why it was accepted."""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from nearlossless.cases.case import Case
from nearlossless.environment import PictureIdentity
from nearlossless.pipelines.requests import Request

CLIP = "clip"  # key of the CLIP score among the scores
_LARGEST_SIDECAR = 1 << 16
_NEW_IN_2 = {"scores", "latents_sha256", "former"}


class Former(BaseModel):
    """The picture that another one replaced."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sha256: str
    scores: dict[str, float]
    accepted_because: str | None


class Sidecar(BaseModel):
    """
    What stands beside an expected picture.

    Files of version 1 are read, too: their CLIP score becomes one of the scores, and they tell no initial latents.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[2]
    prompt: str
    seed: int
    height: int
    width: int
    steps: int
    guidance_scale: float
    max_sequence_length: int | None
    batch_size: int = 1
    vae_tiling: bool = False
    identity: PictureIdentity
    stack: dict[str, str]
    scores: dict[str, float] = Field(default_factory=dict)  # when it was made, by the judges of then
    sha256: str
    latents_sha256: str | None = None  # of the initial latents; None: the pipeline's could not be made alone
    accepted_because: str | None = None
    former: Former | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_version_1(cls, content: Any) -> Any:
        if not isinstance(content, dict) or content.get("schema_version") != 1 or _NEW_IN_2 & set(content):
            return content
        rest = {key: value for key, value in content.items() if key != "clip_score"}
        score = content.get("clip_score")
        return {**rest, "schema_version": 2, "scores": {} if score is None else {CLIP: score}}

    @property
    def request(self) -> Request:
        """What the picture was drawn for."""
        return Request(self.prompt, self.seed, self.height, self.width, self.steps)

    @property
    def clip_score(self) -> float | None:
        """The CLIP score that the picture had when it was made."""
        return self.scores.get(CLIP)

    def has_settings_of(self, case: Case) -> bool:
        """Whether the case still draws with the settings of this picture."""
        settings = picture_settings(case)
        return self.model_dump(include=set(settings)) == settings

    def is_drawn_as(self, other: "Sidecar") -> bool:
        """Whether another picture was drawn for the same request, with the same settings and identity."""
        fields = {"prompt", "seed", "height", "width", "steps", "guidance_scale", "max_sequence_length"}
        fields |= {"batch_size", "vae_tiling", "identity"}
        return self.model_dump(include=fields) == other.model_dump(include=fields)

    def accepted(self, reason: str, former: "Sidecar | None") -> "Sidecar":
        """This sidecar with the reason, and what it replaces; the same picture replaces nothing."""
        if former is None or former.sha256 == self.sha256:
            before = former.former if former is not None else None
        else:
            before = Former(sha256=former.sha256, scores=former.scores, accepted_because=former.accepted_because)
        return self.model_copy(update={"accepted_because": reason.strip(), "former": before})

    def to_text(self) -> str:
        """The content of its file."""
        return self.model_dump_json(indent=1) + "\n"


def picture_settings(case: Case) -> dict[str, Any]:
    """What decides a case's pictures besides request and identity; names are the sidecar's."""
    generation = case.generation
    return {
        "guidance_scale": generation.guidance_scale,
        "max_sequence_length": generation.max_sequence_length,
        "batch_size": generation.batch_size,
        "vae_tiling": case.model.vae_tiling,
    }


def read_sidecar(path: Path) -> Sidecar:
    """
    The checked content of a sidecar file.

    Raises:
        ValueError: Not JSON, another schema, or keys that do not belong there.
        OSError: Unreadable.
    """
    if path.stat().st_size > _LARGEST_SIDECAR:
        raise ValueError(f"is larger than {_LARGEST_SIDECAR} bytes")
    try:
        return Sidecar.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, first['loc'])) or 'file'}: {first['msg']}") from None
