"""Take over candidates for expected pictures from a report folder, checked, with a reason, each written whole."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from nearlossless.atomic import write_bytes, write_text
from nearlossless.baselines import CANDIDATES, EXPECTED, picture_name, read_picture
from nearlossless.case_files import find_case
from nearlossless.environment import hardware_folder
from nearlossless.pipelines.requests import requests
from nearlossless.record import RECORD_FILE, read_record
from nearlossless.sidecars import Sidecar, read_sidecar


class ApprovalError(Exception):
    """Candidates that cannot be taken over; nothing was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One checked candidate, and the picture it replaces, if any."""

    case: str
    hardware: str
    name: str
    sidecar: Sidecar
    source: Path
    target: Path
    former: Sidecar | None


def find_candidates(report: Path, baselines: Path) -> list[Candidate]:
    """
    Every candidate of a report folder, checked like an untrusted file: case, size, hash, decodable.

    Raises:
        ApprovalError: There is none, or one of them is damaged or belongs to no case.
        RecordError: The folder's record is damaged or has another schema.
    """
    if (report / RECORD_FILE).exists():
        read_record(report / RECORD_FILE)  # a folder of another version, or a damaged one, is not believed
    found = list(_candidates(report / CANDIDATES, baselines))
    if not found:
        raise ApprovalError(f"{report}: no candidates here; a run with --update-baselines writes them")
    return found


def _candidates(root: Path, baselines: Path) -> Iterator[Candidate]:
    for sidecar_path in sorted(root.glob(f"*/*/{EXPECTED}/*.json")):
        case_name, hardware = sidecar_path.parts[-4], sidecar_path.parts[-3]
        case = find_case(baselines, case_name)  # the name of a known case cannot leave the folder
        picture_path = sidecar_path.with_suffix(".png")
        links = [path for path in (picture_path, sidecar_path, *sidecar_path.parents[:3]) if path.is_symlink()]
        if links:
            raise ApprovalError(f"{links[0]}: is a link")
        try:
            sidecar = read_sidecar(sidecar_path)
            read_picture(picture_path, (sidecar.width, sidecar.height), sidecar.sha256)
        except (OSError, ValueError) as error:
            raise ApprovalError(f"{sidecar_path}: {error}") from None
        if hardware_folder(sidecar.identity.hardware, sidecar.identity.dtype) != hardware:
            raise ApprovalError(f"{sidecar_path}: was drawn on other hardware than its folder says")
        if sidecar.request not in requests(case.generation):
            raise ApprovalError(f"{sidecar_path}: case '{case.name}' draws no such picture")
        if picture_name(sidecar.request) != picture_path.stem:
            raise ApprovalError(f"{sidecar_path}: describes another picture, {picture_name(sidecar.request)}")
        target = baselines / case.name / hardware / EXPECTED / picture_path.name
        yield Candidate(
            case=case_name,
            hardware=hardware,
            name=picture_path.stem,
            sidecar=sidecar,
            source=picture_path,
            target=target,
            former=_former(target.with_suffix(".json")),
        )


def _former(path: Path) -> Sidecar | None:
    try:
        return read_sidecar(path)
    except (OSError, ValueError):
        return None


def approve(candidates: list[Candidate], reason: str, done: Callable[[Candidate], None]) -> None:
    """
    Write each candidate over its expected picture.

    The picture is replaced before its sidecar: if the run ends between the two, the hashes differ and the
    picture is refused, never silently believed.
    """
    if not reason.strip():
        raise ApprovalError("a reason is needed: it is kept beside every picture")
    for candidate in candidates:
        write_bytes(candidate.target, candidate.source.read_bytes())
        accepted = candidate.sidecar.model_copy(update={"accepted_because": reason.strip()})
        write_text(candidate.target.with_suffix(".json"), accepted.model_dump_json(indent=1) + "\n")
        done(candidate)
