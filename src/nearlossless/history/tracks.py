"""Records lined up: what one (case, recipe) showed on one device, or on one model of it, run after run."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from nearlossless.environment import Fingerprint, PictureIdentity, TimingIdentity
from nearlossless.history.figures import Figure
from nearlossless.history.store import Entry
from nearlossless.record.subject import SubjectRecord

Identity = TimingIdentity | PictureIdentity


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One run of a track."""

    started: datetime
    subject: SubjectRecord
    fingerprint: Fingerprint


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """
    Comparable runs, oldest first: of one timing identity for times, of one picture identity for everything else.

    `title` tells apart what the identities of other tracks of the same subject have in common with this one.
    """

    title: str
    holds_times: bool
    points: list[Point]

    def usable(self, figure: Figure) -> list[tuple[Point, float]]:
        """The runs that measured a figure, each with its value; NaN, or zero of what must be positive, is left out."""
        values = [(point, figure.read(point.subject)) for point in self.points]
        return [(point, value) for point, value in values if value is not None and figure.is_usable(value)]

    def unusable(self, figure: Figure) -> int:
        """How many runs have a value of a figure that is no measurement."""
        values = [figure.read(point.subject) for point in self.points]
        return sum(value is not None and not figure.is_usable(value) for value in values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which subjects are lined up; None means all."""

    case: str | None = None
    recipe: str | None = None
    gpu: str | None = None  # part of a GPU's or CPU's name, or of a UUID, in any case

    def takes(self, subject: SubjectRecord, timing: TimingIdentity) -> bool:
        """Whether a subject on a device is one of them."""
        hardware = f"{timing.picture.hardware} {timing.device_uuid or ''} {timing.cpu}".casefold()
        return (
            self.case in {None, subject.case}
            and self.recipe in {None, subject.recipe}
            and (self.gpu is None or self.gpu.casefold() in hardware)
        )


@dataclass(slots=True)
class _Lines:
    """Points by subject and identity."""

    points: dict[tuple[str, Identity], list[Point]] = field(default_factory=dict)

    def add(self, title: str, point: Point) -> None:
        for identity in (point.fingerprint.timing, point.fingerprint.picture):
            self.points.setdefault((title, identity), []).append(point)


def line_up(entries: Sequence[Entry], wanted: Wanted) -> tuple[list[Track], list[str]]:
    """
    Tracks of the wanted subjects, and what of the records could not be lined up, each with its reason.

    Args:
        entries: Oldest first.
        wanted: Which subjects.
    """
    lines, skipped = _Lines(), []
    for entry in entries:
        titles = Counter(subject.title for subject in entry.record.subjects)
        for subject in entry.record.subjects:
            if subject.fingerprint is None:
                skipped.append(f"{entry.name}: {subject.title}: does not say on what it was measured")
            elif titles[subject.title] > 1:
                skipped.append(f"{entry.name}: {subject.title}: stands there more than once")
            elif wanted.takes(subject, subject.fingerprint.timing):
                point = Point(started=entry.started, subject=subject, fingerprint=subject.fingerprint)
                lines.add(subject.title, point)
    return list(_tracks(lines)), skipped


def _tracks(lines: _Lines) -> Iterator[Track]:
    for (title, identity), points in sorted(lines.points.items(), key=lambda item: (item[0][0], str(item[0][1]))):
        holds_times = isinstance(identity, TimingIdentity)
        others = [other for name, other in lines.points if name == title and isinstance(other, type(identity))]
        yield Track(title=f"{title} ({_name(identity, others)})", holds_times=holds_times, points=points)


def _flat(identity: Identity) -> dict[str, Any]:
    if isinstance(identity, PictureIdentity):
        return identity.model_dump()
    return {**identity.picture.model_dump(), **identity.model_dump(exclude={"picture"})}


def _name(identity: Identity, others: Sequence[Identity]) -> str:
    """Hardware and UUID, and whatever else the other identities have differently."""
    mine, theirs = _flat(identity), [_flat(other) for other in others]
    parts = [mine.pop("hardware")]
    if uuid := mine.pop("device_uuid", None):
        parts.append(uuid)
    parts += [f"{name} {value}" for name, value in mine.items() if any(other[name] != value for other in theirs)]
    return ", ".join(parts)


def differences(before: Fingerprint, after: Fingerprint) -> list[str]:
    """What changed between two runs: packages, driver, environment variables, device settings; `name: old -> new`."""
    old = {**_flat(before.timing), **before.stack}
    new = {**_flat(after.timing), **after.stack}
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    return [f"{name}: {_told(old, name)} -> {_told(new, name)}" for name in names]


def _told(values: dict[str, Any], name: str) -> str:
    return "absent" if values.get(name) is None else str(values[name])
