"""Keeps each run's record in a history, if the command line, the environment or an ini file names a folder for it."""

import os
import tempfile
from pathlib import Path

import pytest

from nearlossless.history.store import append
from nearlossless.plugin.items import baselines_folder
from nearlossless.plugin.stash import LEFT_OUT
from nearlossless.record import write_record
from nearlossless.runs.run import Run

INI, VARIABLE = "nearlossless_history", "NEARLOSSLESS_HISTORY"


def history_folder(config: pytest.Config) -> Path | None:
    """
    The folder of the history; None where there is none.

    `--history` is before the variable NEARLOSSLESS_HISTORY, and that before the ini setting, whose relative path is
    one in pytest's root folder.
    """
    chosen = config.getoption("history") or os.environ.get(VARIABLE)
    if chosen:
        return Path(chosen).absolute()
    return config.rootpath / config.getini(INI) if config.getini(INI) else None


def kept_folder(config: pytest.Config) -> Path | None:
    """The folder in which the run's record is kept; None keeps nothing, and so does `--history-read-only`."""
    return None if config.getoption("history_read_only") else history_folder(config)


def prepare_history(config: pytest.Config) -> None:
    """
    Find out that the history cannot be written before hours of measuring, not after; one that is only read stays.

    Raises:
        pytest.UsageError: It cannot.
    """
    folder = kept_folder(config)
    if folder is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise pytest.UsageError(
            f"--history {folder}: cannot be written ({error.strerror}); name another folder"
        ) from None


def write_reports(config: pytest.Config, run: Run) -> str | None:
    """
    Write record and reports; where that is no longer possible, the record alone among temporary files.

    Returns:
        What went wrong, and where the record is; None if all is well.
    """
    try:
        left_out = run.write(history=history_folder(config), baselines=baselines_folder(config))
    except OSError as error:
        saved = write_record(run.record(), Path(tempfile.mkdtemp(prefix="nearlossless-")))
        return (
            f"--report-dir {run.folder}: cannot be written any more ({error.strerror}); what was measured is in"
            f" {saved}: nearlossless report {saved} --report-dir DIR"
        )
    config.stash[LEFT_OUT] = left_out
    return None


def keep(config: pytest.Config, run: Run) -> str | None:
    """Keep the run's record; a line for the terminal that says where, or None where nothing is kept."""
    folder = kept_folder(config)
    return f"history: {append(run.record(), folder)}" if folder is not None else None
