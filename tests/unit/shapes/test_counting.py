"""Compilations are counted by Dynamo itself; the eager backend needs no compiler."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from nearlossless.shapes.counting import Compiles, counted_compiles, warmup_sizes


@pytest.fixture(autouse=True)
def _fresh_dynamo() -> Iterator[None]:
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def compiled(*, dynamic: bool | None) -> Callable[[int], Any]:
    """A compiled function of a tensor of some length."""
    function = torch.compile(lambda x: (x * 2 + 1).sum(), backend="eager", dynamic=dynamic)
    return lambda length: function(torch.ones(length))


def test_first_call_is_counted() -> None:
    """The first call of a compiled function compiles one graph."""
    call = compiled(dynamic=True)
    with counted_compiles() as compiles:
        call(4)
    assert compiles.total == 1


def test_call_that_is_compiled_already_counts_nothing() -> None:
    """After warm-up, another size of a dynamic function compiles nothing."""
    call = compiled(dynamic=True)
    call(4)
    with counted_compiles() as compiles:
        call(4)
        call(7)
    assert compiles.total == 0


def test_recompilation_is_counted() -> None:
    """A function that specializes compiles again for another size."""
    call = compiled(dynamic=False)
    call(4)
    with counted_compiles() as compiles:
        call(7)
        call(9)
    assert compiles.total == 2


def test_graph_break_counts_every_part() -> None:
    """A function that falls apart into two graphs counts as two."""

    def broken(x: torch.Tensor) -> torch.Tensor:
        y = x * 2
        torch._dynamo.graph_break()
        return y + 1

    function = torch.compile(broken, backend="eager")
    with counted_compiles() as compiles:
        function(torch.ones(3))
    assert compiles.total >= 2


def test_nothing_compiled_counts_nothing() -> None:
    """Eager code compiles nothing."""
    with counted_compiles() as compiles:
        torch.ones(3).sum()
    assert compiles == Compiles(graphs=0, frames=0)


def test_count_stands_after_an_error() -> None:
    """What was compiled before an error is counted, and the error passes through."""
    call = compiled(dynamic=True)
    seen: list[Compiles] = []

    def fails() -> None:
        with counted_compiles() as compiles:
            seen.append(compiles)
            call(4)
            raise RuntimeError("later")

    with pytest.raises(RuntimeError, match="later"):
        fails()
    assert seen[0].total == 1


@pytest.mark.parametrize(
    ("sizes", "chosen"),
    [
        (((64, 64), (64, 32), (32, 64), (96, 96)), [(64, 64), (64, 32), (32, 64)]),
        (((32, 64), (64, 64)), [(64, 64), (32, 64)]),
        (((64, 64), (96, 96)), [(64, 64)]),
        (((32, 64), (48, 64)), [(32, 64)]),
        ((), []),
    ],
)
def test_warm_up_has_one_size_of_each_kind(sizes: tuple[tuple[int, int], ...], chosen: list[tuple[int, int]]) -> None:
    """Warm-up draws one square, one portrait and one landscape picture, as far as the case has them."""
    assert warmup_sizes(sizes) == chosen
