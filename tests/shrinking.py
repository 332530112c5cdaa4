"""The shipped architectures, narrow and shallow enough for a test."""

import json
import shutil
from pathlib import Path

from nearlossless.pipelines.synthetic import ARCHITECTURES

CHANGES = json.loads(Path(__file__).with_name("shrunken.json").read_text(encoding="utf-8"))


def shrink(architecture: str, parent: Path) -> Path:
    """Write a small version of an architecture into a folder of its name and return it."""
    folder = parent / architecture
    shutil.copytree(ARCHITECTURES / architecture, folder)
    for component, changes in CHANGES[architecture].items():
        path = folder / component / "config.json"
        content = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps({**content, **changes}), encoding="utf-8")
    return folder
