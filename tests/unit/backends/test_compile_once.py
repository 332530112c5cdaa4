"""One trace for blocks that are alike: the same results, views as inputs, and LoRAs whose scale may still change."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch._dynamo.utils import clear_compilation_metrics, get_compilation_metrics

from nearlossless.backends.compile_once import compile_once
from nearlossless.shapes.counting import counted_compiles

Compiler = Callable[..., None]  # of (module, **options of torch.compile)


class Normed(nn.Module):
    """Holds a norm, and with it an epsilon, as every block does."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(8, eps=1e-3)

    def forward(self, x: Any) -> Any:
        """The rows, normed."""
        return self.norm(x)


class WithLora(Normed):
    """Holds a scale as peft's layers do."""

    def __init__(self) -> None:
        super().__init__()
        self.scaling = {"style": 0.5}

    def forward(self, x: Any) -> Any:
        """The row, and a share of it."""
        return self.norm(x) + self.scaling["style"] * x


class WritesIntoInput(nn.Module):
    """Changes what it is given."""

    def forward(self, x: Any) -> Any:
        """The input, plus one."""
        return x.add_(1)


@pytest.fixture(autouse=True)
def _fresh() -> None:
    torch.compiler.reset()


OURS: Compiler = compile_once
TORCHS: Compiler = nn.Module.compile


def restarts(module: nn.Module, compiler: Compiler) -> set[str]:
    """Why Dynamo began anew while it compiled a module for any size."""
    torch.compiler.reset()  # what was compiled for the other serves this one too
    compiler(module, dynamic=True, backend="aot_eager")
    clear_compilation_metrics()  # torch keeps the last 64 only, so that their number may not grow
    with torch.no_grad():
        module(torch.rand(3, 8))
    found = get_compilation_metrics()
    assert found, "nothing was compiled"
    return set().union(*(metrics.restart_reasons or set() for metrics in found))


def test_first_block_is_traced_once() -> None:
    """Where torch begins anew because of an epsilon, the module compiled here does not."""
    assert restarts(Normed(), OURS) == set()
    if not torch._dynamo.config.specialize_float:  # torch 2.4 takes numbers for constants itself
        assert restarts(Normed(), TORCHS)


def graphs_of_chain(compiler: Compiler) -> int:
    """How many graphs two blocks that are alike take, the first of which gets a view, as a linear layer returns it."""
    torch.compiler.reset()
    blocks = [Normed(), Normed()]
    for block in blocks:
        compiler(block, dynamic=True, backend="eager")
    with torch.no_grad(), counted_compiles() as compiles:
        x = nn.Linear(8, 8)(torch.rand(3, 5, 8))
        assert x._is_view()
        for block in blocks:
            x = block(x)
    return compiles.graphs


def test_second_block_is_not_compiled_again() -> None:
    """Where the first block gets a view and the second none, torch compiles both, and the backend one."""
    assert graphs_of_chain(TORCHS) == 2
    if torch._dynamo.config.inline_inbuilt_nn_modules:  # torch 2.4 compiles every block by itself
        assert graphs_of_chain(OURS) == 1


def test_gradients_flow_through_views() -> None:
    """An input that a gradient flows through stays the view that it is."""
    module, leaf = Normed(), torch.rand(3, 8, requires_grad=True)
    compile_once(module, dynamic=True, backend="aot_eager")
    module(x=leaf.view(3, 8)).square().sum().backward()
    assert leaf.grad is not None
    assert leaf.grad.abs().sum() > 0


def test_what_a_block_writes_into_a_view_is_seen_outside() -> None:
    """A block that writes into its input writes into the tensor that the input is a view of."""
    module, base = WritesIntoInput(), torch.zeros(2, 8)
    compile_once(module, dynamic=True, backend="aot_eager")
    with torch.no_grad():
        module(base.view(4, 4))
    assert base.eq(1).all()


def test_results_and_setting_are_torchs_own() -> None:
    """The module returns what it returned before, at any size, and the setting is as it was."""
    former, module, eager = torch._dynamo.config.specialize_float, Normed(), Normed()
    compile_once(module, dynamic=True, backend="eager")
    with counted_compiles() as compiles:
        for rows in (3, 5, 9):
            x = torch.rand(rows, 8)
            torch.testing.assert_close(module(x), eager(x))
    assert compiles.graphs == 1
    assert torch._dynamo.config.specialize_float == former


def test_setting_comes_back_after_a_call_that_fails() -> None:
    """A call that raises leaves the setting as it was."""
    former, module = torch._dynamo.config.specialize_float, Normed()
    compile_once(module, dynamic=True, backend="eager")
    with pytest.raises(RuntimeError):
        module(torch.rand(3, 5))
    assert torch._dynamo.config.specialize_float == former


def test_scale_of_a_lora_is_left_to_torch() -> None:
    """A module with LoRAs is compiled as torch does: where it can keep their scale, another one compiles nothing."""
    ours, torchs = WithLora(), WithLora()
    compile_once(ours, dynamic=True, backend="aot_eager")
    torchs.compile(dynamic=True, backend="aot_eager")
    counts = []
    for module in (ours, torchs):
        x = torch.rand(3, 8)
        module(x)
        module.scaling["style"] = 0.75
        with counted_compiles() as compiles:
            module(x)
        counts.append(compiles.total)
    assert counts[0] == counts[1]
