"""The stored expected pictures: named, written whole, checked before they are believed."""

import hashlib
import io
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from nearlossless.atomic import write_all
from nearlossless.baselines.sidecars import Sidecar, picture_settings, read_sidecar
from nearlossless.cases.case import Case
from nearlossless.environment import PictureIdentity, hardware_folder
from nearlossless.pipelines.requests import Request

if TYPE_CHECKING:
    from PIL import Image

EXPECTED = "expected"
CANDIDATES = "candidates"
MOST_ALTERNATIVES = 8
_LARGEST_FILE_OVERHEAD = 1 << 20
_HEADER_END, _BIT_DEPTH_AT, _COLOUR_TYPE_AT, _RGB = 33, 24, 25, 2  # of a PNG


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """An expected picture, or what is wrong with it."""

    path: Path
    picture: "Image.Image | None" = None
    sidecar: Sidecar | None = None
    problem: str | None = None
    foreign: list[str] = field(default_factory=list)  # which other hardware drew it
    alternatives: tuple["Expected", ...] = ()  # further accepted pictures: a known second mode


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
        if len(content) < _HEADER_END or (content[_BIT_DEPTH_AT], content[_COLOUR_TYPE_AT]) != (8, _RGB):
            raise ValueError("has another bit depth than 8 a channel")  # Pillow would cut 16 bits to 8 in silence
        picture.load()
        if "transparency" in picture.info:
            raise ValueError("is transparent, expected RGB without alpha")
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError) as error:
        raise ValueError(f"cannot be decoded: {error}") from None
    return picture


def alternative_path(path: Path, number: int) -> Path:
    """Where the further accepted picture `number` (from 1) beside the expected picture at `path` lies."""
    return path.with_name(f"{path.stem}.alt{number}.png")


def alternative_numbers(path: Path) -> list[int]:
    """Which further accepted pictures lie beside the expected picture at `path`, or half of them."""
    return [
        number
        for number in range(1, MOST_ALTERNATIVES + 1)
        if any(alternative_path(path, number).with_suffix(suffix).exists() for suffix in (".png", ".json"))
    ]


def load_expected(
    case: Case,
    case_folder: Path,
    request: Request,
    identity: PictureIdentity,
    *,
    latents_sha256: str | None = None,
) -> Expected:
    """
    The expected picture of a request and its alternatives, checked against sidecars and this machine's identity.

    Args:
        case: With the settings that decide its pictures.
        case_folder: Where its hardware folders lie.
        request: What was drawn.
        identity: Of this machine.
        latents_sha256: Hash of the initial latents that the request's seed gives here.
    """
    path = expected_folder(case_folder, identity) / f"{picture_name(request)}.png"
    expected = _load(path, case, request, identity, latents_sha256)
    if expected.problem is not None:
        return expected
    numbers = alternative_numbers(path)
    found = [_load(alternative_path(path, number), case, request, identity, latents_sha256) for number in numbers]
    for alternative in found:
        if alternative.problem is not None:  # left out, it would be a picture accepted and silently not believed
            problem = f"{alternative.path.name}: {alternative.problem}; remove its files if it is no longer accepted"
            return Expected(path=alternative.path, problem=problem)
    return replace(expected, alternatives=tuple(found))


def _load(path: Path, case: Case, request: Request, identity: PictureIdentity, latents_sha256: str | None) -> Expected:
    sidecar_path = path.with_suffix(".json")
    missing = [each.name for each in (path, sidecar_path) if not each.exists()]
    if missing:
        stored = "no expected picture is stored" if len(missing) == 2 else f"{missing[0]} is missing"
        return Expected(path=path, problem=f"{stored}, --update-baselines draws a candidate")
    try:
        sidecar = read_sidecar(sidecar_path)
    except (OSError, ValueError) as error:
        return Expected(path=sidecar_path, problem=f"unusable sidecar: {error}")
    try:
        picture = read_picture(path, (request.width, request.height), sidecar.sha256)
    except (OSError, ValueError) as error:
        return Expected(path=path, problem=f"unusable picture: {error}")
    problem = _mismatch(sidecar, case, request, identity, latents_sha256)
    if problem is not None:
        return Expected(path=sidecar_path, problem=problem)
    return Expected(path=path, picture=picture, sidecar=sidecar, foreign=identity.differences(sidecar.identity))


def _mismatch(
    sidecar: Sidecar, case: Case, request: Request, identity: PictureIdentity, latents_sha256: str | None
) -> str | None:
    if sidecar.request != request or not sidecar.has_settings_of(case):
        return "the sidecar describes another prompt, seed, size or setting"
    if not identity.is_same_but_for_hardware(sidecar.identity):
        return f"another picture identity: {', '.join(identity.differences(sidecar.identity))}"
    if None not in (latents_sha256, sidecar.latents_sha256) and latents_sha256 != sidecar.latents_sha256:
        torch = sidecar.stack.get("torch", "unknown")
        return f"the seed gives other initial latents here than those that it was drawn from (torch {torch})"
    return None


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
    scores: dict[str, float],
    latents_sha256: str | None = None,
) -> Path:
    """Write a picture and its sidecar; the sidecar comes last, so that a picture without one is no baseline."""
    content = encode_png(picture)
    path = folder / f"{picture_name(request)}.png"
    sidecar = Sidecar(
        schema_version=2,
        prompt=request.prompt,
        seed=request.seed,
        height=request.height,
        width=request.width,
        steps=request.steps,
        **picture_settings(case),
        identity=identity,
        stack=stack,
        scores=scores,
        sha256=hashlib.sha256(content).hexdigest(),
        latents_sha256=latents_sha256,
    )
    write_all({path: content, path.with_suffix(".json"): sidecar.to_text().encode("utf-8")})
    return path
