"""Backends: finding them, and compiling by block."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from nearlossless.backends import BackendError, BackendUnavailable, find_compiler, inductor, resolve
from nearlossless.backends.blocks import repeated_blocks
from nearlossless.backends.inductor import compile_options


class Blocks(nn.Module):
    """Two blocks, and a layer beside them."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(4, 4)
        self.blocks = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])


def pipeline(**components: object) -> SimpleNamespace:
    """Something with components, on the CPU."""
    return SimpleNamespace(device=torch.device("cpu"), **components)


def is_compiled(module: nn.Module) -> bool:
    """Whether torch compiles this module when it is called."""
    return module._compiled_call_impl is not None


def test_built_in_backend_is_found() -> None:
    """A built-in backend is known by its short name."""
    assert resolve("inductor") is inductor.apply


def test_user_backend_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's backend is imported from its module."""
    (tmp_path / "found_backend.py").write_text("def fast(pipeline):\n    return 'fast'\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    assert resolve("found_backend:fast")(None) == "fast"


def test_missing_module_is_told() -> None:
    """A module that cannot be imported is an error that asks for its folder."""
    with pytest.raises(BackendError, match=r"cannot import 'no_such_module'.*PYTHONPATH"):
        resolve("no_such_module:fast")


@pytest.mark.parametrize("name", ["missing", "number"])
def test_missing_function_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A module without the function, or with something in its place that cannot be called, is an error."""
    (tmp_path / "empty_backend.py").write_text("number = 3\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(BackendError, match=f"has no function '{name}'"):
        resolve(f"empty_backend:{name}")


@pytest.mark.parametrize(
    ("number", "code"),
    enumerate(["raise RuntimeError('no driver')", "import sys; sys.exit(4)", "def broken(:", "1 / 0"]),
)
def test_module_that_fails_at_import_is_a_backend_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: str
) -> None:
    """Whatever goes wrong while a user's module is imported is an error of its backend, and ends nothing else."""
    (tmp_path / f"failing_backend_{number}.py").write_text(f"{code}\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(BackendError, match=f"failing_backend_{number}"):
        resolve(f"failing_backend_{number}:fast")


def test_compiler_of_the_environment_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CXX names the compiler that is used."""
    compiler = tmp_path / "my-g++"
    compiler.write_text("#!/bin/sh\n", encoding="utf-8")
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    assert find_compiler() == str(compiler)


def test_no_compiler_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any compiler the error says what to install or set."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(BackendUnavailable, match=r"apt-get install g\+\+.*CXX"):
        find_compiler()


def test_repeated_blocks_are_those_of_module_lists() -> None:
    """Where a module has lists of blocks, these are compiled."""
    module = Blocks()
    assert repeated_blocks(module) == list(module.blocks)


def test_module_without_blocks_is_compiled_whole() -> None:
    """Where there is no list, the module itself is the block."""
    module = nn.Sequential(nn.Linear(4, 4))
    assert repeated_blocks(module) == [module]


def test_blocks_are_found_below_the_module() -> None:
    """A text encoder keeps its blocks one module deeper; lists inside the blocks are not taken for blocks."""
    inner = Blocks()
    inner.blocks[0] = Blocks()
    assert repeated_blocks(nn.ModuleDict({"encoder": inner})) == list(inner.blocks)


def test_settings_come_on_top_of_the_mode() -> None:
    """A mode's own settings and the recipe's reach the compiler together, the recipe's last."""
    options = compile_options("max-autotune-no-cudagraphs", {"coordinate_descent_tuning": False}, dynamic=True)
    assert (options["max_autotune"], options["coordinate_descent_tuning"]) == (True, False)
    assert compile_options(None, {}, dynamic=True) == {}


def test_unknown_mode_lists_the_known_ones() -> None:
    """A mode that torch.compile does not have is an error that lists those it has."""
    with pytest.raises(BackendError, match=r"'fastest'; known are .*max-autotune-no-cudagraphs"):
        inductor.apply(pipeline(transformer=Blocks()), mode="fastest")


def test_unknown_setting_is_an_error() -> None:
    """A setting that Inductor does not have is refused by torch.compile, not ignored."""
    with pytest.raises(RuntimeError, match="no_such_setting"):
        inductor.apply(pipeline(transformer=Blocks()), config={"no_such_setting": 1})


def test_inductor_compiles_by_block() -> None:
    """By default each block is compiled and what lies around them is not."""
    module = Blocks()
    inductor.apply(pipeline(transformer=module))
    assert [is_compiled(part) for part in (*module.blocks, module.embed, module)] == [True, True, False, False]


def test_inductor_compiles_whole_on_request() -> None:
    """With by_block off the module is compiled as one."""
    module = Blocks()
    inductor.apply(pipeline(transformer=module), by_block=False)
    assert [is_compiled(part) for part in (*module.blocks, module)] == [False, False, True]


def test_inductor_leaves_other_components_alone() -> None:
    """Only the named components are compiled."""
    given = pipeline(transformer=Blocks(), vae=nn.Linear(4, 4))
    inductor.apply(given, components=("vae",))
    assert is_compiled(given.vae)
    assert not any(is_compiled(module) for module in given.transformer.modules())


@pytest.mark.parametrize("component", ["unet", "scheduler"])
def test_inductor_refuses_what_is_no_module(component: str) -> None:
    """A component that is missing, or is no module, is an error that names it."""
    with pytest.raises(BackendError, match=f"no module '{component}'"):
        inductor.apply(pipeline(transformer=Blocks(), scheduler=object()), components=(component,))


def test_inductor_refuses_a_cpu_without_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a CPU without a compiler the error comes at once, not in the middle of a picture."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(BackendUnavailable, match="compiler"):
        inductor.apply(pipeline(transformer=Blocks()))
