"""
What the workers of a run leave for the process that started them: a file for each subject, written gate by gate.

A worker that dies loses nothing but the gate that it ran; the one that takes its place goes on from the file.
"""

from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, ValidationError

from nearlossless.atomic import write_text
from nearlossless.collector import collector_paused
from nearlossless.record import RecordError
from nearlossless.record.part import Part
from nearlossless.record.shard import Shard
from nearlossless.record.subject import SubjectRecord
from nearlossless.record.verdicts import VerdictRecord
from nearlossless.verdicts import Outcome

DIED = "the worker process died while it ran this gate"


class Running(Part):
    """The gate that a worker is at."""

    gate: str
    test: str


class SubjectPart(Part):
    """Everything of one subject so far. No record yet: nothing of it was measured or judged."""

    id: str
    rank: int = 0  # in the order in which subjects were collected
    record: SubjectRecord | None = None
    running: Running | None = None
    candidates: list[Path] = Field(default_factory=list)
    shard: Shard | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """What all workers left."""

    subjects: dict[str, SubjectRecord]
    candidates: set[Path]
    shard: Shard | None


def write_part(part: SubjectPart, folder: Path) -> None:
    """
    Write or replace the part of a subject; only one worker has a subject at a time.

    Raises:
        OSError: It cannot be written.
    """
    write_text(folder / f"{part.id}.json", part.model_dump_json() + "\n")


def read_part(folder: Path, subject_id: str) -> SubjectPart | None:
    """
    The part of a subject; None where there is none yet.

    Raises:
        RecordError: It is damaged; names the file.
    """
    return _read(folder / f"{subject_id}.json")


def _read(path: Path) -> SubjectPart | None:
    try:
        return SubjectPart.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise RecordError(f"{path}: is no part of a run: {error}") from None


def join_parts(folder: Path) -> Joined:
    """
    All parts as one run would have had them; a gate in whose middle its worker died is NOT_COMPARABLE.

    Raises:
        RecordError: A part is damaged; names the file.
    """
    with collector_paused():
        found = [part for path in folder.glob("*.json") if (part := _read(path)) is not None]
        parts = sorted(found, key=lambda part: (part.rank, part.id))
        for part in parts:
            if part.record is not None and part.running is not None:
                part.record.verdicts.append(died(part.running))
        return Joined(
            subjects={part.id: part.record for part in parts if part.record is not None},
            candidates={path for part in parts for path in part.candidates},
            shard=next((part.shard for part in parts if part.shard is not None), None),
        )


def died(running: Running) -> VerdictRecord:
    """The verdict on a gate whose worker died."""
    return VerdictRecord(gate=running.gate, outcome=Outcome.NOT_COMPARABLE, reason=DIED, test=running.test)
