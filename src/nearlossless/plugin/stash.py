"""Where the plugin keeps what belongs to a session of pytest."""

from pathlib import Path
from typing import Any, TextIO

import pytest

from nearlossless.progress import Progress
from nearlossless.runs.parts import Running
from nearlossless.runs.remaining import Remaining
from nearlossless.runs.run import Run
from nearlossless.runs.selection import Subject

RUN = pytest.StashKey[Run]()
PROGRESS = pytest.StashKey[Progress]()
TERMINAL = pytest.StashKey[TextIO]()
SELECTION = pytest.StashKey[list[Subject]]()
SELECTION_ERROR = pytest.StashKey[str]()
FORMER_SIGTERM = pytest.StashKey[Any]()
OTHER_FAILURES = pytest.StashKey[list[str]]()
KEPT = pytest.StashKey[str]()
LEFT_OUT = pytest.StashKey[list[str]]()  # of the history, each with its reason
TROUBLES = pytest.StashKey[list[str]]()  # that keep the run from ending with 0
DEADLINE = pytest.StashKey[float]()  # monotonic seconds, one clock for all processes of a machine
REMAINING = pytest.StashKey[Remaining]()
DESK = pytest.StashKey[Path]()  # folder that the processes of a run under xdist share
# Of the process that starts xdist's workers:
TOLD = pytest.StashKey[dict[str, Any]]()  # what each worker is told
GROUPS = pytest.StashKey[dict[str, str]]()  # of tests, by id: what stays on one worker
HAS_BEGUN = pytest.StashKey[bool]()
REFUSED = pytest.StashKey[str]()  # why its workers collected nothing
# Of a worker:
RANKS = pytest.StashKey[dict[str, int]]()  # of subjects, in the order collected
RUNNING = pytest.StashKey[Running]()
CRASHED = pytest.StashKey[set[str]]()  # tests in whose middle a former worker died
