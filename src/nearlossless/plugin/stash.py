"""Where the plugin keeps what belongs to a session of pytest."""

from typing import TextIO

import pytest

from nearlossless.progress import Progress
from nearlossless.run import Run

RUN = pytest.StashKey[Run]()
PROGRESS = pytest.StashKey[Progress]()
TERMINAL = pytest.StashKey[TextIO]()
SELECTION_ERROR = pytest.StashKey[str]()
OTHER_FAILURES = pytest.StashKey[list[str]]()
