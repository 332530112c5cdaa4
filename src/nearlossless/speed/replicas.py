"""Several processes asked the same question: the spread between them is part of the answer."""

import statistics
from collections.abc import Sequence
from dataclasses import replace

from nearlossless.sequential import Interval
from nearlossless.verdicts import Check, Outcome


def across(checks: Sequence[Check], kind: str = "processes") -> Check:
    """
    One check of what each process found, with the hull of their intervals.

    Autotuning may choose other kernels in each process, so that each has a true figure of its own. Where each interval
    errs with probability alpha / count, all of them hold at once with 1 - alpha, and so does the hull for every one of
    these processes. Only what all of them say is said: a threshold between the fastest and the slowest process leaves
    the question open.

    Args:
        checks: Of the same figure, each from one process and judged with its share of alpha.
        kind: What the processes are, for the note.

    Raises:
        ValueError: No check.
    """
    if len(checks) < 2:
        return checks[0] if checks else _nothing()
    without_figure = [check for check in checks if check.obtained is None or check.interval is None]
    if without_figure:
        return without_figure[0]
    outcomes = {check.outcome for check in checks}
    outcome = outcomes.pop() if len(outcomes) == 1 else Outcome.INCONCLUSIVE
    slowest = min(checks, key=_headroom)
    intervals = [check.interval for check in checks if check.interval is not None]
    each = ", ".join(f"{check.obtained:.4g}" for check in checks)
    return replace(
        slowest,
        outcome=outcome,
        obtained=statistics.median(check.obtained for check in checks if check.obtained is not None),
        interval=Interval(min(i.low for i in intervals), max(i.high for i in intervals)),
        note=f"{len(checks)} {kind}: {each}; the worst of them: {slowest.note}",
    )


def _headroom(check: Check) -> float:
    assert check.obtained is not None
    return check.obtained if check.comparison == ">=" else -check.obtained


def _nothing() -> Check:
    raise ValueError("no process was asked")
