"""Where the plugin keeps what belongs to a session of pytest."""

from typing import Any, TextIO

import pytest

from nearlossless.progress import Progress
from nearlossless.run import Run

RUN = pytest.StashKey[Run]()
PROGRESS = pytest.StashKey[Progress]()
TERMINAL = pytest.StashKey[TextIO]()
SELECTION_ERROR = pytest.StashKey[str]()
FORMER_SIGTERM = pytest.StashKey[Any]()
OTHER_FAILURES = pytest.StashKey[list[str]]()
KEPT = pytest.StashKey[str]()
