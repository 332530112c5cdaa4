"""Take over candidates for expected pictures from a report folder: checked, with a reason, all of them or none."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from nearlossless.atomic import write_all
from nearlossless.baselines.expected import (
    CANDIDATES,
    EXPECTED,
    MOST_ALTERNATIVES,
    alternative_numbers,
    alternative_path,
    picture_name,
    read_picture,
)
from nearlossless.baselines.sidecars import Sidecar, read_sidecar
from nearlossless.cases.case import Case
from nearlossless.cases.files import find_case
from nearlossless.environment import hardware_folder
from nearlossless.pipelines.requests import requests
from nearlossless.record import RECORD_FILE, read_record

LOCK = ".approve.lock"


class ApprovalError(Exception):
    """Candidates that cannot be taken over; nothing was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One checked candidate, and the expected picture that it replaces or stands beside, if any."""

    case: str
    hardware: str
    name: str
    sidecar: Sidecar
    source: Path
    expected: Path  # the expected picture's own place
    target: Path | None  # where it goes; None: it is accepted already, and nothing is to be done
    former: Sidecar | None  # of the expected picture

    @property
    def files(self) -> tuple[Path, Path]:
        """Picture and sidecar in the report folder."""
        return self.source, self.source.with_suffix(".json")

    @property
    def change(self) -> str:
        """What taking it over does, in words."""
        if self.target is None:
            return "already accepted"
        if self.target != self.expected:
            return f"added as {self.target.name.removeprefix(self.name + '.').removesuffix('.png')}"
        if self.former is None:
            return "new"
        return "same picture" if self.former.sha256 == self.sidecar.sha256 else "replaced"


@contextmanager
def only_approval(baselines: Path) -> Iterator[None]:
    """
    Keep others from approving into the same folder at the same time.

    Raises:
        ApprovalError: Another one is at it, or there is no such folder.
    """
    from filelock import FileLock, Timeout

    if not baselines.is_dir():
        raise ApprovalError(f"{baselines}: no such folder")
    lock = FileLock(baselines / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        message = f"{baselines}: another approval is under way ({LOCK} is locked); run this again when it is done"
        raise ApprovalError(message) from None
    try:
        yield
    finally:
        (baselines / LOCK).unlink(missing_ok=True)
        lock.release()


def find_candidates(
    report: Path, baselines: Path, *, also: bool = False, only: Collection[str] = ()
) -> list[Candidate]:
    """
    Every candidate of a report folder, checked like an untrusted file: case, size, hash, decodable.

    Args:
        report: Its folder.
        baselines: Folder of case folders.
        also: Keep expected pictures and add the candidates as alternatives, unless they are accepted already.
        only: Names of pictures; empty takes all.

    Raises:
        ApprovalError: There is none, or one of them is damaged, belongs to no case or cannot be an alternative.
        RecordError: The folder's record is damaged or has another schema.
    """
    if (report / RECORD_FILE).exists():
        read_record(report / RECORD_FILE)  # a folder of another version, or a damaged one, is not believed
    found = list(_candidates(report / CANDIDATES, baselines))
    if not found:
        raise ApprovalError(f"{report}: no candidates here; a run with --update-baselines writes them")
    names = {candidate.name for candidate in found}
    if unknown := sorted(set(only) - names):
        raise ApprovalError(f"{report}: no candidate {', '.join(unknown)}; there is: {', '.join(sorted(names))}")
    chosen = [candidate for candidate in found if not only or candidate.name in only]
    return [_beside(candidate) for candidate in chosen] if also else chosen


def _candidates(root: Path, baselines: Path) -> Iterator[Candidate]:
    for sidecar_path in sorted(root.glob(f"*/*/{EXPECTED}/*.json")):
        case_name, hardware = sidecar_path.parts[-4], sidecar_path.parts[-3]
        case = find_case(baselines, case_name)  # the name of a known case cannot leave the folder
        picture_path = sidecar_path.with_suffix(".png")
        links = [path for path in (picture_path, sidecar_path, *sidecar_path.parents[:4]) if path.is_symlink()]
        if links:
            raise ApprovalError(f"{links[0]}: is a link")
        try:
            sidecar = read_sidecar(sidecar_path)
            _check_belongs(sidecar, case, hardware, picture_path.stem)  # before anything is decoded
            read_picture(picture_path, (sidecar.width, sidecar.height), sidecar.sha256)
        except (OSError, ValueError) as error:
            raise ApprovalError(f"{sidecar_path}: {error}") from None
        expected = baselines / case.name / hardware / EXPECTED / picture_path.name
        yield Candidate(
            case=case_name,
            hardware=hardware,
            name=picture_path.stem,
            sidecar=sidecar,
            source=picture_path,
            expected=expected,
            target=expected,
            former=_former(expected.with_suffix(".json")),
        )


def _check_belongs(sidecar: Sidecar, case: Case, hardware: str, name: str) -> None:
    if hardware_folder(sidecar.identity.hardware, sidecar.identity.dtype) != hardware:
        raise ValueError("was drawn on other hardware than its folder says")
    if sidecar.request not in requests(case.generation) or not sidecar.has_settings_of(case):
        raise ValueError(f"case '{case.name}' draws no such picture, or with other settings")
    if picture_name(sidecar.request) != name:
        raise ValueError(f"describes another picture, {picture_name(sidecar.request)}")


def _former(path: Path) -> Sidecar | None:
    try:
        return read_sidecar(path)
    except (OSError, ValueError):
        return None


def _beside(candidate: Candidate) -> Candidate:
    """The candidate as an alternative; the first picture of a request is its expected one all the same."""
    expected, former = candidate.expected, candidate.former
    if not expected.exists():
        return candidate
    if former is None or not former.is_drawn_as(candidate.sidecar):
        raise ApprovalError(
            f"{expected}: the expected picture was drawn with another setting or identity, or its sidecar is unusable;"
            " an alternative cannot stand beside it, replace it without --also"
        )
    numbers = alternative_numbers(expected)
    sidecars = [_former(alternative_path(expected, number).with_suffix(".json")) for number in numbers]
    if any(each is not None and each.sha256 == candidate.sidecar.sha256 for each in (former, *sidecars)):
        return replace(candidate, target=None)
    free = [number for number in range(1, MOST_ALTERNATIVES + 1) if number not in numbers]
    if not free:
        raise ApprovalError(
            f"{expected}: has {MOST_ALTERNATIVES} alternatives already; remove the files of one that is not needed"
        )
    return replace(candidate, target=alternative_path(expected, free[0]))


def approve(candidates: list[Candidate], reason: str) -> list[Candidate]:
    """
    Write all candidates to their places, or none of them.

    A picture is moved into place before its sidecar: if the machine stops between the two, the hashes differ and the
    picture is refused, never silently believed.

    Returns:
        Those that were written.

    Raises:
        ApprovalError: There is no reason.
        OSError: Something cannot be written; all old files are as they were.
    """
    if not reason.strip():
        raise ApprovalError("a reason is needed: it is kept beside every picture")
    contents: dict[Path, bytes] = {}
    for candidate in candidates:
        if candidate.target is not None:
            replaces = candidate.former if candidate.target == candidate.expected else None
            accepted = candidate.sidecar.accepted(reason, replaces)
            contents[candidate.target] = candidate.source.read_bytes()
            contents[candidate.target.with_suffix(".json")] = accepted.to_text().encode("utf-8")
    write_all(contents)
    return [candidate for candidate in candidates if candidate.target is not None]
