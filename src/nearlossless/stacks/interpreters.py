"""The interpreter of another environment, which runs this package's own sources with its own libraries."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory

import nearlossless
from nearlossless.backends import BackendUnavailable

OLDEST_PYTHON = (3, 11)
_PROBE_LIMIT_S = 60.0
# What a worker imports, and the distribution that brings it.
NEEDED = {
    "accelerate": "accelerate",
    "diffusers": "diffusers",
    "numpy": "numpy",
    "PIL": "pillow",
    "pydantic": "pydantic",
    "pynvml": "nvidia-ml-py",
    "safetensors": "safetensors",
    "torch": "torch",
    "transformers": "transformers",
}
_PROBE = """
import importlib.util, json, sys
missing = [name for name in sys.argv[1:] if importlib.util.find_spec(name) is None]
print(json.dumps({"version": list(sys.version_info[:2]), "missing": missing}))
"""


def find_interpreter(name: str) -> Path | None:
    """
    The interpreter of that name or path, absolute; None where it cannot be run.

    A link is not followed: it is how an environment's interpreter knows its environment.
    """
    found = shutil.which(name)
    return Path(found).absolute() if found is not None else None


@contextmanager
def bare_environment() -> Iterator[dict[str, str]]:
    """
    This process's environment for another interpreter, which finds this package there and nothing else of ours.

    This package may lie among this environment's libraries: on the path is a folder with only a link to it.
    """
    with TemporaryDirectory(prefix="nearlossless-sources-") as folder:
        (Path(folder) / "nearlossless").symlink_to(Path(nearlossless.__file__).parent, target_is_directory=True)
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONHOME"}
        yield {**kept, "PYTHONPATH": folder}


def check_interpreter(python: Path) -> None:
    """
    Find out what another environment lacks before its worker does.

    Raises:
        BackendUnavailable: It is too old or lacks a library; says what to install.
    """
    with bare_environment() as environment:
        try:
            done = subprocess.run(  # noqa: S603 (the interpreter that the user names)
                [python, "-c", _PROBE, *NEEDED],
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_PROBE_LIMIT_S,
                check=True,
            )
            told = json.loads(done.stdout)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            raise BackendUnavailable(f"{python} is no Python interpreter that answers: {error}") from None
    if tuple(told["version"]) < OLDEST_PYTHON:
        needed, version = (".".join(map(str, numbers)) for numbers in (OLDEST_PYTHON, told["version"]))
        raise BackendUnavailable(f"{python} is Python {version}: make an environment of Python {needed} or newer")
    if told["missing"]:
        requirements = " ".join(f"'{_requirement(NEEDED[name])}'" for name in told["missing"])
        raise BackendUnavailable(
            f"{python} lacks {', '.join(told['missing'])}; install there what nearlossless needs:"
            f" {python} -m pip install {requirements}"
        )


def _requirement(distribution: str) -> str:
    """What this package requires of a distribution, as pip takes it."""
    for requirement in metadata.requires("nearlossless") or []:
        if re.match(rf"{re.escape(distribution)}(?![\w.-])", requirement) and "extra ==" not in requirement:
            return requirement
    return distribution
