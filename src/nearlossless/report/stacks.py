"""Two software stacks as a table: one column there, in the other environment, one here."""

import statistics

from nearlossless.gates import GIB
from nearlossless.report.table import END_TO_END, FIRST_CALL, PEAK_MEMORY, Row
from nearlossless.stacks.results import StackComparison

STACK_HEADINGS = ("other stack", "there", "here", "change")


def stack_rows(stacks: StackComparison) -> list[Row]:
    """End-to-end time, peak memory and first call (with empty caches), there and here."""
    sides = [pair.medians() for pair in stacks.pairs]
    there, here = stacks.there, stacks.here
    return [
        END_TO_END.row(statistics.median(side[0] for side in sides), statistics.median(side[1] for side in sides)),
        PEAK_MEMORY.row(there.peak_bytes / GIB, here.peak_bytes / GIB),
        FIRST_CALL.row(there.first_call_s, here.first_call_s),
    ]


def stack_lines(stacks: StackComparison) -> list[str]:
    """What changed from there to here, how many pictures are the same, and whether both fitted together."""
    lines = [f"from there to here: {', '.join(stacks.changes) or 'the same versions'}"]
    if stacks.pictures:
        lines.append(f"{stacks.equal_pictures} of {len(stacks.pictures)} pictures are the same to the bit")
    if stacks.takes_turns:
        lines.append("both do not fit together: they took turns")
    return lines
