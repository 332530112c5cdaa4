"""
The latency samples of a record as benchmarks of pytest-benchmark.

Each subject gives two, `baseline[ID]` and `compiled[ID]` in one group; their samples are those that the speedup gate
judged, in the order taken, so that equal indices are one pair; what it set aside is counted beside them. Nothing is
timed for them.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nearlossless.atomic import write_text
from nearlossless.record import Record
from nearlossless.record.subject import SubjectRecord
from nearlossless.speed.latencies import is_latency

# How `timing.timed` takes a sample: calls before the first one warm up, and the garbage collector stays as it is.
_OPTIONS = {"disable_gc": False, "timer": "perf_counter", "warmup": True}


class BenchmarkError(Exception):
    """The file cannot be made; says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """What pytest-benchmark reads from its fixture."""

    name: str
    fullname: str
    group: str
    param: str
    params: dict[str, str]
    extra_info: dict[str, Any] = field(default_factory=dict)
    cprofile_stats: None = None
    has_error: bool = False


def benchmarks(subject: SubjectRecord) -> Iterator[Any]:
    """
    The two benchmarks of a subject, as `pytest_benchmark.stats.Metadata`; none of samples that are no measurement.

    Raises:
        ModuleNotFoundError: pytest-benchmark is not installed.
    """
    from pytest_benchmark.stats import Metadata

    speeds = subject.speeds
    if speeds.set_aside and len(speeds.set_aside) != len(speeds.compiled_s):
        return
    judged = speeds.pairs.judged()
    identity = f"{subject.case}-{subject.device}-{subject.recipe}"
    for side, seconds in (("baseline", judged.baseline_s), ("compiled", judged.compiled_s)):
        if not seconds or not all(map(is_latency, seconds)):
            continue
        source = _Source(
            name=f"{side}[{identity}]",
            fullname=f"nearlossless::{side}[{identity}]",
            group=subject.title,
            param=identity,
            params={"case": subject.case, "recipe": subject.recipe, "device": subject.device},
            extra_info=_extra_info(subject),
        )
        benchmark = Metadata(source, iterations=1, options=_OPTIONS)
        for sample in seconds:
            benchmark.update(sample)
        yield benchmark


def _extra_info(subject: SubjectRecord) -> dict[str, Any]:
    set_aside = sum(reason is not None for reason in subject.speeds.set_aside)
    found: dict[str, Any] = {
        "backend": subject.backend,
        "batch_size": subject.batch_size,
        "set_aside": set_aside,
    }
    if subject.fingerprint is not None:
        found |= {"hardware": subject.fingerprint.picture.hardware, "stack": subject.fingerprint.stack}
        found["device_uuid"] = subject.fingerprint.timing.device_uuid
    return found


def write_benchmark_json(record: Record, path: Path) -> None:
    """
    Write the file that `--benchmark-json` would have written in the record's run, for `pytest-benchmark compare`.

    Where the record does not know the commit, it is `unknown`.

    Raises:
        BenchmarkError: The record has no latency samples, or pytest-benchmark is not installed.
        OSError: The file cannot be written.
    """
    try:
        from pytest_benchmark import __version__ as version
    except ModuleNotFoundError:
        raise BenchmarkError("--benchmark-json needs pytest-benchmark: pip install pytest-benchmark") from None
    found = [benchmark.as_dict() for subject in record.subjects for benchmark in benchmarks(subject)]
    if not found:
        raise BenchmarkError("the record has no latency samples: was the speedup gate selected?")
    content = {
        "machine_info": _machine_info(record),
        "commit_info": _commit(record),
        "benchmarks": found,
        "datetime": record.started,
        "version": version,
    }
    write_text(path, json.dumps(content, indent=4) + "\n")


def _machine_info(record: Record) -> dict[str, Any]:
    """Of the machine that measured, not of this one."""
    fingerprints = [subject.fingerprint for subject in record.subjects if subject.fingerprint is not None]
    if not fingerprints:
        return {}
    first = fingerprints[0]
    system, _, machine = first.stack.get("system", "").partition(" ")
    return {
        "system": system,
        "machine": machine,
        "python_version": first.stack.get("python", ""),
        "cpu": {"brand_raw": first.timing.cpu},
    }


def _commit(record: Record) -> dict[str, object]:
    commit, _, changes = (record.commit or "unknown").partition("+")
    return {"id": commit, "time": None, "author_time": None, "dirty": bool(changes), "branch": "(unknown)"}
