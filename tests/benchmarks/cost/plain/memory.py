"""Does it fit?"""

import json
import subprocess
import sys
from pathlib import Path


def peak(name: str) -> int:
    """Peak resident size of a fresh process with one pipeline."""
    command = [sys.executable, str(Path(__file__).with_name("one_process.py")), name]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return int(json.loads(done.stdout.splitlines()[-1])["peak"])


def test_memory() -> None:
    """Compiled against baseline."""
    assert peak("compiled") / peak("baseline") <= 1.6
