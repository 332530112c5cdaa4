"""What changed since a recipe was last green: in the stack, the device's settings, the environment and the commit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nearlossless.accepting.accepted import accepted_path
from nearlossless.history.store import Entry
from nearlossless.history.tracks import differences
from nearlossless.record import Record, RecordError, read_record
from nearlossless.record.subject import SubjectRecord
from nearlossless.verdicts import EXIT_REGRESSION, Outcome

Key = tuple[str, str]  # title of a subject, and its hardware
Greens = Mapping[Key, tuple[Record, SubjectRecord]]
_GREEN = {"PASS", "NOT_APPLICABLE"}
NO_GREEN = "No green run of this case, recipe and GPU is known: keep records with --history, or accept one."


@dataclass(frozen=True, slots=True, kw_only=True)
class Since:
    """The last green run, where it was found, and one line for each thing that is another now."""

    started: str
    source: str
    changes: list[str]


def is_green(record: Record, subject: SubjectRecord) -> bool:
    """Whether something passed, nothing did anything else, and no test of the run failed beside all verdicts."""
    outcomes = {verdict.outcome for verdict in subject.verdicts}
    return "PASS" in outcomes and outcomes <= _GREEN and not _failed_beside_verdicts(record)


def _failed_beside_verdicts(record: Record) -> bool:
    """Whether the run ended as a regression's without one: a test failed, and the record does not tell whose."""
    told = {verdict.outcome for subject in record.subjects for verdict in subject.verdicts}
    return record.exit_status == EXIT_REGRESSION and Outcome.REGRESSION not in told


def changes(old: Record, old_subject: SubjectRecord, new: Record, new_subject: SubjectRecord) -> list[str]:
    """What differs between two runs of a subject, as `name: old -> new`; what a record does not tell is left out."""
    found = []
    if old_subject.fingerprint is not None and new_subject.fingerprint is not None:
        found += differences(old_subject.fingerprint, new_subject.fingerprint)
    if None not in (old.commit, new.commit) and old.commit != new.commit:
        found.append(f"git commit: {old.commit} -> {new.commit}")
    if old.variables is not None and new.variables is not None:
        names = sorted({*old.variables, *new.variables})
        told = [(name, old.variables.get(name, "absent"), new.variables.get(name, "absent")) for name in names]
        found += [f"{name}: {before} -> {after}" for name, before, after in told if before != after]
    return list(dict.fromkeys(found))


def last_greens(record: Record, history: Sequence[Entry]) -> Greens:
    """
    Of each case, recipe and GPU the newest green run before this one.

    Args:
        record: This run.
        history: Kept records, oldest first.
    """
    return {
        key: (entry.record, subject)
        for entry in history
        if entry.record.started < record.started
        for subject in entry.record.subjects
        if (key := _key(subject)) is not None and is_green(entry.record, subject)
    }


def since_green(record: Record, subject: SubjectRecord, greens: Greens, baselines: Path | None) -> Since | None:
    """
    The last green run of a subject, and what changed.

    Args:
        record: This run.
        subject: Of this run.
        greens: The green runs before it.
        baselines: Folder of cases, whose accepted record stands in where the history has none.
    """
    key = _key(subject)
    if key is not None and key in greens:
        old, other = greens[key]
        return Since(started=old.started, source="history", changes=changes(old, other, record, subject))
    return _since_accepted(record, subject, baselines) if baselines is not None else None


def _since_accepted(record: Record, subject: SubjectRecord, baselines: Path) -> Since | None:
    if subject.fingerprint is None:
        return None
    picture = subject.fingerprint.picture
    path = accepted_path(baselines / subject.case, subject.recipe, picture.hardware, picture.dtype)
    try:
        accepted = read_record(path)
    except RecordError:
        return None
    for other in accepted.subjects:
        if _key(other) == _key(subject):
            found = changes(accepted, other, record, subject)
            return Since(started=accepted.started, source="accepted record", changes=found)
    return None


def _key(subject: SubjectRecord) -> Key | None:
    return (subject.title, subject.fingerprint.picture.hardware) if subject.fingerprint is not None else None
