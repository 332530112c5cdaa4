"""The example of a user's own repository: run as its page says, with the installed package alone."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.plugin.inner import TIME_LIMIT_S, InnerRun, Workspace

from nearlossless.verdicts import EXIT_UNDECIDED, Outcome

pytestmark = pytest.mark.slow

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLE = DOCS / "examples" / "own_repository"
FILES = ("baselines/fox/case.toml", "my_compiler.py", "test_gates.py")


def run(folder: Path, *arguments: str) -> InnerRun:
    """Pytest in a user's folder."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
        cwd=folder,
        env=Workspace(folder).environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIME_LIMIT_S,
        check=False,
    )
    return InnerRun(code=done.returncode, output=done.stdout, report=folder / "nearlossless-report")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[InnerRun, InnerRun]:
    """The run that draws candidates, and after their approval the run that judges."""
    folder = tmp_path_factory.mktemp("own") / "repository"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__", "nearlossless-report"))
    first = run(folder, "--update-baselines", "-k", "quality")
    Workspace(folder).approve(first.report, "drawn by the released pipeline, looked at")
    return first, run(folder)


def test_first_run_draws_candidates(runs: tuple[InnerRun, InnerRun]) -> None:
    """The first run ends undecided and offers its pictures."""
    assert runs[0].code == EXIT_UNDECIDED, runs[0].output
    assert "nearlossless approve" in runs[0].output


def test_second_run_is_green(runs: tuple[InnerRun, InnerRun]) -> None:
    """After their approval a user's compiler passes both gates of the example."""
    assert runs[1].code == 0, runs[1].output
    outcomes = {gate: runs[1].verdict(gate, "mine", "fox").outcome for gate in ("speedup", "quality")}
    assert outcomes == {"speedup": Outcome.PASS, "quality": Outcome.PASS}


def test_page_shows_the_files_that_run() -> None:
    """What the page prints is what lies in the example, all of it, in under 40 lines."""
    page = (DOCS / "your-own-pipeline.md").read_text(encoding="utf-8")
    contents = [(EXAMPLE / name).read_text(encoding="utf-8") for name in FILES]
    assert all(content.rstrip() in page for content in contents)
    assert sum(len(content.splitlines()) for content in contents) < 40
