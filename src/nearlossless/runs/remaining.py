"""How long gates take, and what former runs tell of the time that is left to this one."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from nearlossless.progress import duration
from nearlossless.record import Record

Key = tuple[str, str, str, str]  # case, recipe, device, gate


def known_seconds(records: Iterable[Record], hardware: Collection[str]) -> dict[Key, float]:
    """
    Seconds that each gate took the last time on hardware that is here.

    Args:
        records: Of former runs, oldest first.
        hardware: Names of the devices that there are.
    """
    return {
        (subject.case, subject.recipe, subject.device, verdict.gate): verdict.seconds
        for record in records
        for subject in record.subjects
        if subject.fingerprint is not None and subject.fingerprint.picture.hardware in hardware
        for verdict in subject.verdicts
        if verdict.seconds is not None
    }


@dataclass(frozen=True, slots=True)
class Remaining:
    """The gates of a run in their order, and the seconds that former runs took for them."""

    gates: Sequence[tuple[str, Key]]  # the test's id, and what it asks
    known: Mapping[Key, float]

    def told(self, test: str) -> str | None:
        """What is left as a gate begins; nothing where one of the gates that are left never came to its end before."""
        tests = [name for name, _ in self.gates]
        if test not in tests:
            return None
        left = [key for _, key in self.gates[tests.index(test) :]]
        if not all(key in self.known for key in left):
            return None
        number, total = tests.index(test) + 1, duration(sum(self.known[key] for key in left))
        return f"{left[0][-1]}: gate {number} of {len(tests)}, about {total} left by what they took before"
