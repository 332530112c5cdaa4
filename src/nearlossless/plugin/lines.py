"""Lines on the real terminal or into the log of CI, while pytest captures what tests print."""

import os
from typing import Any

import pytest

from nearlossless.plugin.items import is_worker
from nearlossless.plugin.stash import TERMINAL
from nearlossless.printable import printable


def open_terminal(config: pytest.Config) -> None:
    """Before capturing begins: this copy stays the real one. Of a worker of xdist's only errors get there."""
    stream = os.dup(2 if is_worker(config) else 1)
    config.stash[TERMINAL] = os.fdopen(stream, "w", encoding="utf-8", errors="replace", buffering=1)


def write_line(config: pytest.Config, text: str) -> None:
    """A line that ends: many viewers of logs show one only then."""
    if config.get_verbosity() > -2 and not config.stash[TERMINAL].closed:
        who = f"[{config.workerinput['workerid']}] " if is_worker(config) else ""  # type: ignore[attr-defined]
        config.stash[TERMINAL].write(f"{_line_break(config)}    {who}{printable(text)}\n")
        config.stash[TERMINAL].flush()


def _line_break(config: pytest.Config) -> str:
    """What ends a line that pytest has begun, as it does with a file's name; pytest is told that it has ended."""
    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or not reporter._tw.width_of_current_line:
        return ""
    reporter.currentfspath, reporter._tw._current_line = None, ""
    return "\n"
