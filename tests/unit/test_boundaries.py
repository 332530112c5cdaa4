"""The design's boundaries, read from the source and from what an import brings with it."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import nearlossless

SOURCE = Path(nearlossless.__file__).parent
FILES = sorted(path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py"))
KNOW_DIFFUSERS = ("pipelines/", "metrics/clip.py", "metrics/features.py", "backends/", "miniature/")
PROCESSES = ("processes/streams.py", "backends/nexfort_trial.py")
HEAVY = ("torch", "diffusers", "transformers")
PLUGIN = tuple(file.removesuffix(".py").replace("/", ".") for file in FILES if file.startswith("plugin/"))


@cache
def tree(file: str) -> ast.Module:
    """The parsed source of one file."""
    return ast.parse((SOURCE / file).read_text(encoding="utf-8"), file)


def imported(file: str) -> set[str]:
    """Top-level names of everything that a file imports, wherever in the file it does."""
    names: set[str] = set()
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in {"import_module", "importlib.import_module"}:
            names |= {str(arg.value).partition(".")[0] for arg in node.args if isinstance(arg, ast.Constant)}
    return names


def calls(file: str) -> Iterator[ast.Call]:
    """Every call in a file."""
    return (node for node in ast.walk(tree(file)) if isinstance(node, ast.Call))


@pytest.mark.parametrize("file", [file for file in FILES if not file.startswith("plugin/")])
def test_only_the_plugin_imports_pytest(file: str) -> None:
    """Library code knows nothing of pytest."""
    assert not {"pytest", "_pytest"} & imported(file)


@pytest.mark.parametrize("file", [file for file in FILES if not file.startswith(KNOW_DIFFUSERS)])
def test_few_know_diffusers(file: str) -> None:
    """Measuring code takes callables, arrays and models, and does not know where they come from."""
    assert not {"diffusers", "transformers"} & imported(file)


@pytest.mark.parametrize("file", ["verdicts.py", "sequential.py", "evidence.py", "evaluation/sampling.py"])
def test_judging_is_pure(file: str) -> None:
    """What turns numbers into verdicts imports neither torch nor pytest nor anything that reads or measures."""
    assert imported(file) <= {"math", "statistics", "collections", "dataclasses", "enum", "functools", "nearlossless"}


@pytest.mark.parametrize("file", FILES)
def test_nothing_that_runs_code_is_loaded(file: str) -> None:
    """No pickle, no torch.load, and remote code is never trusted."""
    assert not {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"} & imported(file)
    for call in calls(file):
        assert ast.unparse(call.func) not in {"torch.load", "eval", "exec"}
        for keyword in call.keywords:
            if keyword.arg in {"trust_remote_code", "allow_pickle"}:
                assert isinstance(keyword.value, ast.Constant)
                assert keyword.value.value is False


@pytest.mark.parametrize("file", [file for file in FILES if file not in PROCESSES])
def test_library_does_not_print(file: str) -> None:
    """Only processes of their own write to standard output, and there it is their protocol."""
    assert "print" not in {ast.unparse(call.func) for call in calls(file)}


@pytest.mark.parametrize("file", FILES)
def test_whole_path_of_an_import_is_absolute(file: str) -> None:
    """Imports name the package, so that a file can be read on its own."""
    assert not [node for node in ast.walk(tree(file)) if isinstance(node, ast.ImportFrom) and node.level]


@pytest.mark.parametrize(
    ("modules", "absent"),
    [
        (("verdicts", "sequential"), (*HEAVY, "pytest", "pydantic")),
        (
            (
                "gates",
                "cases.case",
                "cases.files",
                "record",
                "speed.timing",
                "report.table",
                "progress",
                "atomic",
                "accepting.proposals",
                "memory.plan",
            ),
            (*HEAVY, "pytest"),
        ),
        (
            (
                "plugin",
                "cli",
                "runs.run",
                "accepting.offers",
                "cases.edits",
                "report.html",
                "report.markdown",
                "report.console",
            ),
            HEAVY,
        ),
        (
            (
                "stacks.serving",
                "stacks.workers",
                "stacks.results",
                "stacks.interpreters",
                "gates.stacks",
                "report.stacks",
            ),
            (*HEAVY, "pytest"),
        ),
        (
            ("history.review", "history.store", "report.benchmark"),
            (*HEAVY, "pytest", "scipy", "ruptures", "matplotlib", "pytest_benchmark"),
        ),
        (
            (
                "processes.job",
                "processes.worker",
                "processes.parent",
                "baselines.expected",
                "environment",
                "runs.selection",
                "metrics.scores",
            ),
            (*HEAVY, "pytest"),
        ),
        (PLUGIN, (*HEAVY, "numpy", "PIL")),
        (("runs.merging", "runs.parts", "runs.devices", "history.needs"), (*HEAVY, "pytest")),
        (("evidence", "speed.slowdown", "accepting.accepted", "speed.quiet"), (*HEAVY, "pytest")),
        (("evaluation.judging", "evaluation.prompts", "evaluation.sampling"), (*HEAVY, "pytest", "pyarrow", "ray")),
        (
            ("evaluation.command", "evaluation.ray_engine", "report.plots.distributions", "report.evaluation"),
            ("torch", "diffusers", "transformers", "pyarrow", "ray", "matplotlib"),
        ),
    ],
    ids=lambda names: names[0],
)
def test_imports_stay_light(modules: tuple[str, ...], absent: tuple[str, ...]) -> None:
    """Modules that need no heavy library start without one, however deep their own imports go."""
    imports = ", ".join(f"nearlossless.{module}" for module in modules)
    code = f"import {imports}, sys; print(*sorted({set(absent)!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
