"""Numbers as constants of compiled code: one trace, the same results, and LoRAs that may still change their scale."""

from typing import Any

import pytest
import torch
from torch import nn
from torch._dynamo.utils import clear_compilation_metrics, get_compilation_metrics

from nearlossless.backends.constant_floats import compile_with_constant_floats
from nearlossless.shapes import counted_compiles


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


@pytest.fixture(autouse=True)
def _fresh() -> None:
    torch.compiler.reset()


def restarts(module: nn.Module, *, constant: bool) -> set[str]:
    """Why Dynamo began anew while it compiled a module for any size."""
    torch.compiler.reset()  # what was compiled for the other serves this one too
    options: dict[str, Any] = {"dynamic": True, "backend": "aot_eager"}
    if constant:
        compile_with_constant_floats(module, **options)
    else:
        module.compile(**options)
    clear_compilation_metrics()  # torch keeps the last 64 only, so that their number may not grow
    with torch.no_grad():
        module(torch.rand(3, 8))
    found = get_compilation_metrics()
    assert found, "nothing was compiled"
    return set().union(*(metrics.restart_reasons or set() for metrics in found))


def test_first_block_is_traced_once() -> None:
    """Where torch begins anew because of an epsilon, the module compiled here does not."""
    assert restarts(Normed(), constant=True) == set()
    if not torch._dynamo.config.specialize_float:  # torch 2.4 takes numbers for constants itself
        assert restarts(Normed(), constant=False)


def test_results_and_setting_are_torchs_own() -> None:
    """The module returns what it returned before, at any size, and the setting is as it was."""
    former, module, eager = torch._dynamo.config.specialize_float, Normed(), Normed()
    compile_with_constant_floats(module, dynamic=True, backend="eager")
    with counted_compiles() as compiles:
        for rows in (3, 5, 9):
            x = torch.rand(rows, 8)
            torch.testing.assert_close(module(x), eager(x))
    assert compiles.graphs == 1
    assert torch._dynamo.config.specialize_float == former


def test_setting_comes_back_after_a_call_that_fails() -> None:
    """A call that raises leaves the setting as it was."""
    former, module = torch._dynamo.config.specialize_float, Normed()
    compile_with_constant_floats(module, dynamic=True, backend="eager")
    with pytest.raises(RuntimeError):
        module(torch.rand(3, 5))
    assert torch._dynamo.config.specialize_float == former


def test_scale_of_a_lora_is_left_to_torch() -> None:
    """A module with LoRAs is compiled as torch does: where it can keep their scale, another one compiles nothing."""
    ours, torchs = WithLora(), WithLora()
    compile_with_constant_floats(ours, dynamic=True, backend="aot_eager")
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
