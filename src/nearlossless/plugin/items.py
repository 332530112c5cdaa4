"""What a collected test is about: the subject and the gate of a gate test, and what keeps it on one worker."""

from pathlib import Path

import pytest

from nearlossless.cases.files import CASE_FILE
from nearlossless.runs.selection import Subject


def baselines_folder(config: pytest.Config) -> Path:
    """The folder of case folders."""
    return Path(config.getoption("baselines") or config.rootpath / "baselines").absolute()


def has_cases(config: pytest.Config) -> bool:
    """Whether there may be gates at all: another project's tests are collected and spread as without this plugin."""
    return any(baselines_folder(config).glob(f"*/{CASE_FILE}"))


def subject_of(item: pytest.Item) -> Subject | None:
    """What a gate test judges; None for any other test."""
    callspec = getattr(item, "callspec", None)
    value = callspec.params.get("subject") if callspec is not None else None
    return value if isinstance(value, Subject) else None


def gate_of(item: pytest.Item) -> str:
    """The gate of a test."""
    marker = item.get_closest_marker("gate")
    return str(marker.args[0]) if marker and marker.args else item.name.partition("[")[0]


def is_worker(config: pytest.Config) -> bool:
    """Whether this process is one of xdist's workers."""
    return hasattr(config, "workerinput")


def is_controller(config: pytest.Config) -> bool:
    """Whether this process only hands tests to xdist's workers."""
    return config.pluginmanager.has_plugin("dsession")


def group_of(config: pytest.Config, subject: Subject) -> str:
    """
    What stays on one worker: all gates of a subject, so that baseline and recipe meet on one device.

    With --update-baselines all recipes of a case, since they write the same candidates.
    """
    name = subject.case.name if config.getoption("update_baselines") else subject.id
    return f"{subject.device}:{name}"
