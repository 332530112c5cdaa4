"""The starts as a table: load, first call and steady call of each fresh process, and what it found in its caches."""

import statistics

from nearlossless.processes.caches import CacheUse
from nearlossless.processes.job import ProcessRun
from nearlossless.record.subject import SubjectRecord

START_HEADINGS = ("start", "load", "first call", "steady call", "graph cache", "AOTAutograd cache")


def start_rows(subject: SubjectRecord) -> list[tuple[str, ...]]:
    """One row a process that ran, under the headings; a cache that torch did not count is a dash."""
    processes = {
        "baseline": subject.baseline_process,
        "cold": subject.cold_process,
        "warm": subject.warm_process,
        "artifact": subject.artifact_process,
    }
    return [_row(name, run) for name, run in processes.items() if run is not None]


def _row(name: str, run: ProcessRun) -> tuple[str, ...]:
    seconds = run.load_s, run.first_call_s, statistics.median(run.steady_s)
    caches = (_lookups(run.caches.get(cache)) for cache in ("graphs", "autograd"))
    return (name, *(f"{value:.2f} s" for value in seconds), *caches)


def _lookups(use: CacheUse | None) -> str:
    if use is None:
        return "-"
    bypasses = f", {use.bypasses} bypasses" if use.bypasses else ""
    return f"{use.hits} hits, {use.misses} misses{bypasses}"
