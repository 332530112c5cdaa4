"""Inner runs: a folder with cheap miniature cases, the project's own gate tests and user backends; fresh processes."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nearlossless.record import RECORD_FILE, Record, read_record
from nearlossless.record.subject import SubjectRecord
from nearlossless.record.verdicts import VerdictRecord

QUICK_GATES = Path(__file__).with_name("quick_gates.py")
GATE_TESTS = Path(__file__).parents[1] / "gate"
BACKENDS = Path(__file__).with_name("planted_backends.py")
TIME_LIMIT_S = 300.0

# A user's backend is first tried in processes of its own, which take most of a run's time. Where neither they nor
# the gates that read them are the point, this conftest.py of the inner run leaves them out.
UNGUARDED = '''"""Leaves out the processes in which a user's backend is tried first."""

import pytest


@pytest.fixture(scope="session")
def process_runs(subject):
    """Nothing: no gate under test reads it."""
'''

IDENTITY: Mapping[str, str] = {"identity": 'backend = "planted_backends:identity"'}
LOOSE: Mapping[str, float] = {
    "min_speedup": 0.05,
    "max_memory_ratio": 3.0,
    "max_residue_mib": 1.0,
    "max_parity_ratio": 1.5,
    "live.min_ssim": 0.95,
    "stored.min_ssim": 0.95,
    "max_clip_drop": 50.0,
    "max_cold_start_s": 600.0,
    "max_warm_start_ratio": 5.0,
}


def case_toml(
    recipes: Mapping[str, str] = IDENTITY,
    *,
    thresholds: Mapping[str, float] = LOOSE,
    dtype: str = '{ cpu = "float32" }',
    head: str = "",
    seeds: str = "[20]",
) -> str:
    """A miniature case drawn in 2 steps at 64x64; `recipes` maps each name to the lines of its table."""
    lines = [
        head,
        'judge = "miniature"',
        "[model]",
        'source = "miniature"',
        f"dtype = {dtype}",
        "[generation]",
        'prompts = ["green square above orange circle on a plain yellow background"]',
        f"seeds = {seeds}",
        "height = 64",
        "width = 64",
        "steps = 2",
        "guidance_scale = 3.5",
        "max_sequence_length = 16",
        # Warm-up takes the first square, portrait and landscape; the last size is the one that may recompile.
        "sizes = [[64, 64], [80, 64], [64, 80], [96, 96]]",
        "[sampling]",
        "min_pairs = 3",
        "max_pairs = 16",
        "[thresholds]",
        *(f"{name} = {value}" for name, value in thresholds.items()),
        *(f"[recipes.{name}]\n{content}" for name, content in recipes.items()),
    ]
    return "\n".join(lines) + "\n"


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its content."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@dataclass(frozen=True, kw_only=True)
class InnerRun:
    """How an inner run of pytest ended."""

    code: int
    output: str
    report: Path

    @property
    def record(self) -> Record:
        """The record that it wrote."""
        return read_record(self.report / RECORD_FILE)

    def subject(self, recipe: str, case: str = "mini") -> SubjectRecord:
        """The record of one recipe."""
        found = [s for s in self.record.subjects if (s.case, s.recipe) == (case, recipe)]
        assert len(found) == 1, self.output
        return found[0]

    def verdict(self, gate: str, recipe: str = "identity", case: str = "mini") -> VerdictRecord:
        """The only verdict that a gate gave on a recipe."""
        found = [verdict for verdict in self.subject(recipe, case).verdicts if verdict.gate == gate]
        assert len(found) == 1, self.output
        return found[0]


@dataclass(frozen=True)
class Workspace:
    """A project of a user's: baselines, gate tests, backends."""

    folder: Path

    @classmethod
    def create(cls, folder: Path) -> "Workspace":
        """Fill a folder; it has no case yet."""
        shutil.copytree(GATE_TESTS, folder / "gate", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(BACKENDS, folder / BACKENDS.name)
        (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
        (folder / "baselines").mkdir()
        return cls(folder)

    @classmethod
    def create_quick(cls, folder: Path, *cases: str, recipes: Mapping[str, str] = IDENTITY) -> "Workspace":
        """A project whose three gates measure nothing, with cases of these names."""
        workspace = cls.create(folder)
        shutil.rmtree(folder / "gate")
        (folder / "gate").mkdir()
        shutil.copy(QUICK_GATES, folder / "gate" / "test_quick.py")
        for name in cases:
            workspace.add_case(case_toml(recipes), name)
        return workspace

    @property
    def ran(self) -> list[dict[str, Any]]:
        """What each quick gate told of where it ran, in the order in which they ran."""
        lines = (self.folder / "ran.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]

    @property
    def baselines(self) -> Path:
        """The folder of cases."""
        return self.folder / "baselines"

    def add_case(self, content: str, name: str = "mini", *, expected: Path | None = None) -> Path:
        """Write a case, with a copy of a hardware folder of expected pictures if there is one."""
        folder = self.baselines / name
        folder.mkdir()
        (folder / "case.toml").write_text(content, encoding="utf-8")
        if expected is not None:
            shutil.copytree(expected, folder / expected.name)
        return folder

    def environment(self) -> dict[str, str]:
        """Of inner runs: the user's modules on the path, and one thread, which shared cores serve best."""
        strange = ("PYTEST_", "NEARLOSSLESS_HISTORY")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(strange)}
        return {**kept, "PYTHONPATH": str(self.folder), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "NO_COLOR": "1"}

    def command(self, *arguments: str, report: Path) -> list[str]:
        """The inner run's command line; pytest-xdist is away unless workers are asked for."""
        xdist = [] if "-n" in arguments else ["-p", "no:xdist"]
        pytest_options = ["-p", "no:cacheprovider", *xdist, "-ra", "--report-dir", str(report)]
        return [sys.executable, "-m", "pytest", *pytest_options, "gate", *arguments]

    def run(self, *arguments: str, guarded: bool = True, report: str = "report") -> InnerRun:
        """Run the gate tests in a fresh process; `guarded` as a user does, else without the start-up processes."""
        wiring = self.folder / "conftest.py"
        if guarded:
            wiring.unlink(missing_ok=True)
        else:
            wiring.write_text(UNGUARDED, encoding="utf-8")
        folder = self.folder / report
        done = subprocess.run(
            self.command(*arguments, report=folder),
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIME_LIMIT_S,
            check=False,
        )
        return InnerRun(code=done.returncode, output=done.stdout, report=folder)

    def approve(self, report: Path, reason: str, *options: str) -> "subprocess.CompletedProcess[str]":
        """Take candidates or figures over with the installed console script."""
        program = Path(sys.executable).parent / "nearlossless"
        return subprocess.run(
            [program, "approve", report, "--reason", reason, "--baselines", self.baselines, *options],
            cwd=self.folder,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIME_LIMIT_S,
            check=False,
        )


MakeWorkspace = Callable[[str], Workspace]


@dataclass(frozen=True, kw_only=True)
class Approval:
    """A run with --update-baselines, what stood under baselines/ around it, and what approving it said and did."""

    workspace: Workspace
    run: InnerRun
    before: dict[str, bytes]
    after: dict[str, bytes]
    candidates: dict[str, bytes]
    approve_code: int
    approve_output: str

    @property
    def expected(self) -> Path:
        """The hardware folder of the expected pictures that were taken over."""
        (folder,) = [path for path in (self.workspace.baselines / "mini").iterdir() if path.is_dir()]
        return folder
