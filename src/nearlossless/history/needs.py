"""Where evidence is missing most: what a history knows of each gate on this software stack and this hardware."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from nearlossless.environment import Fingerprint
from nearlossless.history.store import Entry
from nearlossless.record.subject import SubjectRecord
from nearlossless.verdicts import Outcome

BUDGET_ENDED = "the budget ended before this gate began"
Key = tuple[str, str, str, str]  # case, recipe, device, gate


class Known(IntEnum):
    """What is known of a gate, least first."""

    NEVER_JUDGED = 0  # on this stack and hardware
    INCONCLUSIVE = 1  # when it was judged last
    JUDGED = 2


@dataclass(frozen=True, slots=True, order=True)
class Need:
    """Sorts by need: the least known first, and of equally well known gates the one judged longest ago."""

    known: Known = Known.NEVER_JUDGED
    judged: str = ""  # when, in UTC, on any stack; empty: never


NEVER = Need()


def needs(entries: Sequence[Entry], stack: Mapping[str, str], hardware: Collection[str]) -> dict[Key, Need]:
    """
    What is known of every gate that the history has a verdict on.

    Args:
        entries: Kept records, oldest first.
        stack: Versions that are in force now.
        hardware: Names of the devices that there are.
    """
    found: dict[Key, Need] = {}
    for entry in entries:
        judged = entry.started.isoformat()
        for subject in entry.record.subjects:
            is_here = subject.fingerprint is not None and _is_here(subject.fingerprint, stack, hardware)
            for gate, outcome in _judged(subject):
                known = Known.INCONCLUSIVE if outcome == Outcome.INCONCLUSIVE else Known.JUDGED
                key = (subject.case, subject.recipe, subject.device, gate)
                found[key] = Need(known if is_here else found.get(key, NEVER).known, judged)
    return found


def _is_here(fingerprint: Fingerprint, stack: Mapping[str, str], hardware: Collection[str]) -> bool:
    same_stack = all(fingerprint.stack.get(name) == version for name, version in stack.items())
    return same_stack and fingerprint.picture.hardware in hardware


def _judged(subject: SubjectRecord) -> Iterator[tuple[str, str]]:
    for verdict in subject.verdicts:
        if BUDGET_ENDED not in verdict.reason:
            yield verdict.gate, verdict.outcome
