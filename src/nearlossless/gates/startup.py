"""Does it start in time, cold, warm and from compile artifacts?"""

from collections.abc import Mapping

from nearlossless.cases.thresholds import Thresholds
from nearlossless.processes.caches import CacheUse
from nearlossless.processes.job import ProcessRun
from nearlossless.verdicts import Check, Outcome, Verdict, at_most, found, verdict

MISSES = "cache misses"


def judge_startup(
    cold: ProcessRun, warm: ProcessRun, thresholds: Thresholds, *, artifact: ProcessRun | None = None
) -> Verdict:
    """Is a cold start bearable, does a primed cache help, and does another start compile nothing?"""
    cold_start_s = cold.load_s + cold.first_call_s if cold.load_s > 0 and cold.first_call_s > 0 else None
    checks = [
        at_most("cold start", cold_start_s, thresholds.max_cold_start_s, unit="s", note="load and first call"),
        _first_call("warm", warm, cold, thresholds.max_warm_start_ratio),
        *_cold_caches(cold),
        _misses("warm", warm, cold, thresholds.max_warm_cache_misses),
    ]
    if artifact is not None:
        checks += [
            _first_call("artifact", artifact, cold, thresholds.max_artifact_start_ratio),
            _misses("artifact", artifact, cold, thresholds.max_warm_cache_misses),
        ]
    return verdict("startup", checks)


def _first_call(start: str, run: ProcessRun, cold: ProcessRun, threshold: float | None) -> Check:
    ratio = run.first_call_s / cold.first_call_s if run.first_call_s > 0 and cold.first_call_s > 0 else None
    note = f"{start} {run.first_call_s:.2f} s, cold {cold.first_call_s:.2f} s"
    return at_most(f"{start} / cold first call", ratio, threshold, note=note)


def _cold_caches(cold: ProcessRun) -> list[Check]:
    """A cold start may find again what it stored itself, and nothing else."""
    warm = [f"{name}: {use.foreign_hits} hits" for name, use in cold.caches.items() if use.foreign_hits]
    if not warm:
        return []
    note = f"not empty at a cold start ({', '.join(warm)}): does the backend set a cache folder of its own?"
    return [found("cold caches", Outcome.NOT_COMPARABLE, note)]


def _misses(start: str, run: ProcessRun, cold: ProcessRun, threshold: int) -> Check:
    """What a start compiled although a former one had compiled it."""
    if not cold.caches and not run.caches:
        note = "torch counted no use of a graph cache: the backend compiles without one, or with one of its own"
        return found(MISSES, Outcome.NOT_APPLICABLE, note, of=f"{start} start")
    if not run.caches:
        note = f"no graph was looked up, the cold start looked up: {_told(cold.caches)}"
        return found(MISSES, Outcome.NOT_COMPARABLE, note, of=f"{start} start")
    compiled = sum(use.compiled for use in run.caches.values())
    return at_most(MISSES, compiled, threshold, of=f"{start} start", note=_told(run.caches))


def _told(caches: Mapping[str, CacheUse]) -> str:
    return "; ".join(f"{name}: {use}" for name, use in caches.items())
