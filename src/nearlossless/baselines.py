"""The stored expected pictures: named, written whole, checked before they are believed."""

import hashlib
import io
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from nearlossless.atomic import write_bytes, write_text
from nearlossless.cases import Case
from nearlossless.environment import PictureIdentity, hardware_folder
from nearlossless.pipelines.requests import Request

if TYPE_CHECKING:
    from PIL import Image

EXPECTED = "expected"
CANDIDATES = "candidates"
_LARGEST_FILE_OVERHEAD = 1 << 20
_LARGEST_SIDECAR = 1 << 16


class Sidecar(BaseModel):
    """What stands beside an expected picture: how to draw it again, and whether it may be compared."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1]
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
    clip_score: float | None
    sha256: str
    accepted_because: str | None = None

    @property
    def request(self) -> Request:
        """What the picture was drawn for."""
        return Request(self.prompt, self.seed, self.height, self.width, self.steps)

    def has_settings_of(self, case: Case) -> bool:
        """Whether the case still draws with the settings of this picture."""
        settings = picture_settings(case)
        return self.model_dump(include=set(settings)) == settings


def picture_settings(case: Case) -> dict[str, Any]:
    """What decides a case's pictures besides request and identity; names are the sidecar's."""
    generation = case.generation
    return {
        "guidance_scale": generation.guidance_scale,
        "max_sequence_length": generation.max_sequence_length,
        "batch_size": generation.batch_size,
        "vae_tiling": case.model.vae_tiling,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """An expected picture, or what is wrong with it."""

    path: Path
    picture: "Image.Image | None" = None
    sidecar: Sidecar | None = None
    problem: str | None = None
    foreign: list[str] = field(default_factory=list)  # which other hardware drew it


def picture_name(request: Request) -> str:
    """File name without suffix: what the prompt says, a hash of all of it, seed, size."""
    words = re.sub(r"[^a-z0-9]+", "-", request.prompt.lower()).strip("-")[:40].strip("-")
    digest = hashlib.sha256(request.prompt.encode()).hexdigest()[:8]
    return f"{words or 'prompt'}-{digest}-s{request.seed}-{request.width}x{request.height}"


def expected_folder(case_folder: Path, identity: PictureIdentity) -> Path:
    """
    The folder of expected pictures for this hardware, or another's that may stand in for it.

    Where this hardware has none, the first other one of the same dtype is offered; whether its pictures may be
    compared is for the case to say.
    """
    own = case_folder / hardware_folder(identity.hardware, identity.dtype) / EXPECTED
    if own.is_dir():
        return own
    others = sorted(path for path in case_folder.glob(f"*-{identity.dtype}/{EXPECTED}") if path.is_dir())
    return others[0] if others else own


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


def read_picture(path: Path, size: tuple[int, int], sha256: str) -> "Image.Image":
    """
    Decode a stored PNG that has this (width, height) and hash; nothing larger is ever decoded.

    Raises:
        ValueError: Another hash, format, mode or size, or truncated.
        OSError: Unreadable.
    """
    from PIL import Image, UnidentifiedImageError

    limit = size[0] * size[1] * 4 + _LARGEST_FILE_OVERHEAD
    if path.stat().st_size > limit:
        raise ValueError(f"file is larger than any {size[0]}x{size[1]} picture can be")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError("is not the picture that its sidecar describes (sha256 differs)")
    try:
        picture = Image.open(io.BytesIO(content), formats=["PNG"])
        if picture.size != size or picture.mode != "RGB":
            raise ValueError(f"is {picture.mode} {picture.size}, expected RGB {size}")
        picture.load()
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError) as error:
        raise ValueError(f"cannot be decoded: {error}") from None
    return picture


def load_expected(case: Case, case_folder: Path, request: Request, identity: PictureIdentity) -> Expected:
    """The expected picture of a request, checked against its sidecar and this machine's identity."""
    folder = expected_folder(case_folder, identity)
    name = picture_name(request)
    path, sidecar_path = folder / f"{name}.png", folder / f"{name}.json"
    if not path.exists() or not sidecar_path.exists():
        return Expected(path=path, problem="no expected picture is stored, --update-baselines draws a candidate")
    try:
        sidecar = read_sidecar(sidecar_path)
    except (OSError, ValueError) as error:
        return Expected(path=sidecar_path, problem=f"unusable sidecar: {error}")
    if sidecar.request != request or not sidecar.has_settings_of(case):
        return Expected(path=sidecar_path, problem="the sidecar describes another prompt, seed, size or setting")
    try:
        picture = read_picture(path, (request.width, request.height), sidecar.sha256)
    except (OSError, ValueError) as error:
        return Expected(path=path, problem=f"unusable picture: {error}")
    foreign = identity.differences(sidecar.identity)
    if not identity.is_same_but_for_hardware(sidecar.identity):
        return Expected(path=path, problem=f"another picture identity: {', '.join(foreign)}")
    return Expected(path=path, picture=picture, sidecar=sidecar, foreign=foreign)


def encode_png(picture: "Image.Image") -> bytes:
    """Lossless PNG bytes."""
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, format="PNG")
    return buffer.getvalue()


def write_expected(
    folder: Path,
    case: Case,
    request: Request,
    picture: "Image.Image",
    *,
    identity: PictureIdentity,
    stack: dict[str, str],
    clip_score: float | None,
) -> Path:
    """Write a picture and its sidecar; the sidecar comes last, so that a picture without one is no baseline."""
    content = encode_png(picture)
    path = folder / f"{picture_name(request)}.png"
    sidecar = Sidecar(
        schema_version=1,
        prompt=request.prompt,
        seed=request.seed,
        height=request.height,
        width=request.width,
        steps=request.steps,
        **picture_settings(case),
        identity=identity,
        stack=stack,
        clip_score=clip_score,
        sha256=hashlib.sha256(content).hexdigest(),
    )
    write_bytes(path, content)
    write_text(path.with_suffix(".json"), sidecar.model_dump_json(indent=1) + "\n")
    return path
