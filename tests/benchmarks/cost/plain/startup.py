"""Does it start in time?"""

import json
import os
import subprocess
import sys
from pathlib import Path


def first_call_s(cache: Path) -> float:
    """Of the compiled pipeline in a fresh process."""
    command = [sys.executable, str(Path(__file__).with_name("one_process.py")), "compiled"]
    environment = os.environ | {"TORCHINDUCTOR_CACHE_DIR": str(cache)}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return float(json.loads(done.stdout.splitlines()[-1])["first_call_s"])


def test_startup(tmp_path: Path) -> None:
    """With an empty cache, then with a full one."""
    cold, warm = first_call_s(tmp_path), first_call_s(tmp_path)
    assert cold <= 600
    assert warm / cold <= 0.9
