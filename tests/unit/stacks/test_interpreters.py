"""Interpreters of other environments: what they get of ours, and what is said of those that will not do."""

import subprocess
import sys
import venv
from pathlib import Path

import pytest

import nearlossless
from nearlossless.backends import BackendUnavailable
from nearlossless.stacks.interpreters import NEEDED, bare_environment, check_interpreter, find_interpreter


@pytest.fixture(scope="module")
def empty_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment in which nothing is installed."""
    folder = tmp_path_factory.mktemp("empty")
    venv.create(folder, symlinks=True, with_pip=False)
    return folder / "bin" / "python"


def pretender(folder: Path, answer: str) -> Path:
    """A program that answers like an interpreter, whatever it is asked."""
    program = folder / "python"
    program.write_text(f"#!/bin/sh\necho '{answer}'\n", encoding="utf-8")
    program.chmod(0o755)
    return program


def test_only_our_own_sources_are_found_there(empty_python: Path) -> None:
    """Another interpreter finds this package's sources, and none of the libraries that are installed beside them."""
    code = "import importlib.util as u, nearlossless; print(nearlossless.__file__, u.find_spec('pydantic'))"
    with bare_environment() as environment:
        done = subprocess.run([empty_python, "-c", code], env=environment, capture_output=True, text=True, check=True)
    file, pydantic = done.stdout.split()
    assert Path(file).name == Path(nearlossless.__file__).name
    assert Path(file).parent.name == "nearlossless"
    assert pydantic == "None"


def test_missing_libraries_are_named_with_the_command(empty_python: Path) -> None:
    """An environment without libraries is refused with the command that installs them, versions included."""
    with pytest.raises(BackendUnavailable) as caught:
        check_interpreter(empty_python)
    message = str(caught.value)
    assert all(name in message for name in NEEDED)
    assert f"{empty_python} -m pip install " in message
    assert "'pydantic>=" in message


def test_this_environment_lacks_nothing() -> None:
    """The interpreter that runs this suite passes."""
    check_interpreter(Path(sys.executable))


def test_old_python_is_refused(tmp_path: Path) -> None:
    """An interpreter that cannot read this package's syntax is refused by its version."""
    with pytest.raises(BackendUnavailable, match=r"is Python 3\.10: make an environment of Python 3\.11 or newer"):
        check_interpreter(pretender(tmp_path, '{"version": [3, 10], "missing": []}'))


def test_program_that_is_no_interpreter_is_refused(tmp_path: Path) -> None:
    """A program that answers something else is no interpreter."""
    with pytest.raises(BackendUnavailable, match="no Python interpreter that answers"):
        check_interpreter(pretender(tmp_path, "hello"))


def test_link_is_not_followed(tmp_path: Path) -> None:
    """An environment's interpreter is a link and stays one: only so does it find its own libraries."""
    link = tmp_path / "python"
    link.symlink_to(sys.executable)
    assert find_interpreter(str(link)) == link
    assert find_interpreter(str(tmp_path / "nothing")) is None


def test_what_a_worker_imports_is_looked_for() -> None:
    """Whatever library the worker imports to build and draw is among those that are looked for."""
    modules = "stacks.serving pipelines.loading pipelines.compiling pipelines.drawing memory.peaks speed.timing effect"
    imports = ", ".join(f"nearlossless.{module}" for module in modules.split())
    code = (
        f"import sys, importlib.metadata as m; before = set(sys.modules); import {imports}\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(*sorted(new & set(m.packages_distributions())))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    brought_by_pydantic = {"annotated_types", "pydantic_core", "typing_extensions", "typing_inspection"}
    assert set(done.stdout.split()) - brought_by_pydantic - {"nearlossless"} <= set(NEEDED)
