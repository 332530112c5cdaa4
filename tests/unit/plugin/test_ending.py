"""What the terminal says at the end of a run."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nearlossless.plugin.ending import pytest_terminal_summary
from nearlossless.plugin.stash import LEFT_OUT, RUN, TROUBLES
from nearlossless.runs.run import Run


def test_history_does_not_steer_the_terminal(tmp_path: Path) -> None:
    """A file of the history that was left out is named without the escape codes in its name."""
    config: Any = SimpleNamespace(stash=pytest.Stash())
    config.stash[RUN], config.stash[TROUBLES] = Run(tmp_path), []
    config.stash[LEFT_OUT] = ["\x1b[2Jnight.json: is not named like a kept record"]
    told: list[str] = []
    pytest_terminal_summary(SimpleNamespace(write_line=told.append), config)
    assert told == [r"history: left out: \x1b[2Jnight.json: is not named like a kept record"]
