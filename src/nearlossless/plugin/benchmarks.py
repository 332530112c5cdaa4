"""Hands the gates' latency samples to pytest-benchmark, where it is installed and was asked to keep or compare any."""

from collections.abc import Generator
from typing import Any

import pytest

from nearlossless.plugin.stash import RUN
from nearlossless.record import RECORD_FILE
from nearlossless.report.benchmark import benchmarks


def _asked(config: pytest.Config) -> Any:
    """pytest-benchmark's session, if one of its options needs the samples."""
    session = config.pluginmanager.get_plugin("pytest-benchmark")
    options = ("benchmark_json", "benchmark_save", "benchmark_autosave", "benchmark_compare")
    return session if session is not None and any(config.getoption(name) for name in options) else None


@pytest.hookimpl(wrapper=True, tryfirst=True)  # outermost: pytest-benchmark saves in a wrapper of its own
def pytest_sessionfinish(session: pytest.Session) -> Generator[None, None, None]:
    """Add the samples of every subject before they are saved and compared."""
    asked = _asked(session.config)
    if asked is not None and not asked.disabled:
        for subject in session.config.stash[RUN].subjects.values():
            asked.benchmarks.extend(benchmarks(subject))
    return (yield)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say how the file is still to be had where pytest-benchmark has switched itself off."""
    asked, run = _asked(config), config.stash[RUN]
    if asked is not None and asked.disabled and run.subjects:
        terminalreporter.write_line(
            "pytest-benchmark is switched off, its file is to be had from the record:"
            f" nearlossless report {run.folder / RECORD_FILE} --benchmark-json FILE"
        )
