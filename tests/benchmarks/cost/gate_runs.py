"""The gate of this suite and the plain tests, each a pytest run of its own with empty caches of its own."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any
from xml.etree import ElementTree as ET

from nearlossless.miniature import JUDGE, PIPELINE
from nearlossless.processes.environment import cache_environment
from nearlossless.record import RECORD_FILE, read_record
from nearlossless.record.subject import SubjectRecord

ROOT = Path(__file__).parents[3]
PLAIN = Path(__file__).parent / "plain"
OURS, THEIRS = "nearlossless", "plain"
GATES = ("memory", "startup", "shapes", "quality", "speedup")
_HELPERS = ("pipelines.py", "one_process.py")
_SIGN = re.compile(r"\n    (?P<text>[a-z][^\n]*)")
_COUNT, _HEARTBEAT = re.compile(r": (size |sample )?\d.*"), " s so far"


def run_gates(side: str) -> dict[str, Any]:
    """Seconds of a whole run, of each test with what it sets up, and of our phases; the exit code is pytest's."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        junit, command = folder / "junit.xml", [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
        command += _ours(folder) if side == OURS else _plain(folder)
        environment = os.environ | cache_environment(folder / "cache") | {"PIPELINE": str(PIPELINE)}
        start = perf_counter()
        with subprocess.Popen(
            [*command, f"--junit-xml={junit}", f"--basetemp={folder / 'tmp'}"],
            cwd=ROOT if side == OURS else folder / "plain",
            env=environment | {"JUDGE": str(JUDGE), "HF_HUB_OFFLINE": "1"},
            stdout=subprocess.PIPE,
        ) as process:
            assert process.stdout is not None
            told = list(_as_it_comes(process.stdout.fileno(), start))
        total_s = perf_counter() - start
        sys.stderr.write("".join(text for _, text in told[-2:]))
        found: dict[str, Any] = {"side": side, "exit_code": process.returncode, "total_s": total_s}
        found["gates_s"] = gates_s(junit)
        if side == OURS:
            found["phases_s"] = phases_s(told, total_s)
            found["drawing"] = drawing(read_record(folder / "report" / RECORD_FILE).subjects[0])
        return found


def _ours(folder: Path) -> list[str]:
    chosen = ["--case", "miniature", "--recipe", "inductor", "-m", "not gpu"]
    return ["tests/gate", *chosen, "--report-dir", str(folder / "report")]


def _plain(folder: Path) -> list[str]:
    (folder / "plain").mkdir()
    for gate in GATES:
        shutil.copy(PLAIN / f"{gate}.py", folder / "plain" / f"test_{gate}.py")
    for helper in _HELPERS:
        shutil.copy(PLAIN / helper, folder / "plain" / helper)
    # The library's plugin stays out; the folder itself is on the path of its tests.
    return ["-p", "no:nearlossless", "--rootdir", str(folder / "plain"), *(f"test_{gate}.py" for gate in GATES)]


def gates_s(junit: Path) -> dict[str, float]:
    """By gate: set-up, test and what is torn down after it."""
    found = dict.fromkeys(GATES, 0.0)
    for test in ET.parse(junit).iter("testcase"):  # noqa: S314 - written by pytest just now
        name = test.get("name", "")
        gate = next(gate for gate in GATES if gate in name)
        found[gate] += float(test.get("time", 0.0))
    return found


def _as_it_comes(descriptor: int, start: float) -> Iterator[tuple[float, str]]:
    """What is written to a pipe, with seconds since the start: a sign of life is a line whose end comes later."""
    while chunk := os.read(descriptor, 65536):
        yield perf_counter() - start, chunk.decode(errors="replace")


def phases_s(told: list[tuple[float, str]], total_s: float) -> dict[str, float]:
    """From each sign of life to the next one; before the first, Python starts and tests are collected."""
    found: dict[str, float] = defaultdict(float)
    phase, since = "start of Python and pytest", 0.0
    for at_s, chunk in told:
        for match in _SIGN.finditer(chunk):
            if not match["text"].endswith(_HEARTBEAT):
                found[phase] += at_s - since
                phase, since = _COUNT.sub("", match["text"]), at_s
    found[phase] += total_s - since
    return dict(found)


def drawing(subject: SubjectRecord) -> dict[str, float]:
    """Seconds that the record itself has for calls of pipelines, first ones with their compiling among them."""
    runs = [run for run in (subject.baseline_process, subject.cold_process, subject.warm_process) if run is not None]
    both_s = median(subject.speeds.baseline_s) + median(subject.speeds.compiled_s)
    return {
        "calls of fresh processes": sum(run.first_call_s + sum(run.steady_s) for run in runs),
        "judged pairs": sum(subject.speeds.baseline_s + subject.speeds.compiled_s),
        "sizes, compiled": sum(size.latency_s for size in subject.sizes),
        "pictures, by the pairs' medians": len(subject.pictures) * both_s,
    }
