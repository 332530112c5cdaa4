"""Planted recompilations, each with what must be named, and benign changes after which nothing compiles."""

import gc
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

Calls = tuple[Callable[[], object], Callable[[], object]]  # the warm-up, and the call in which something may compile


@dataclass(frozen=True)
class Planted:
    """A change between two calls of compiled code."""

    name: str
    build: Callable[[], Calls]
    function: str  # that must be named
    word: str  # that the guard must hold; both torch versions say it


def _compiled(function: Callable[..., Any], *, dynamic: bool | None = None) -> Callable[..., Any]:
    made: Callable[..., Any] = torch.compile(function, backend="eager", dynamic=dynamic)
    return made


class _Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.step = 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Use a Python integer of the module."""
        return x * self.step


def _mutated_attribute() -> Calls:
    module = _Counting()
    run = _compiled(module, dynamic=False)

    def second() -> None:
        module.step = 7
        run(torch.ones(4))

    return lambda: run(torch.ones(4)), second


def _integer_argument() -> Calls:
    def scale_by_integer(x: torch.Tensor, factor: int) -> torch.Tensor:
        return x * factor

    run = _compiled(scale_by_integer, dynamic=False)
    return lambda: run(torch.ones(4), 3), lambda: run(torch.ones(4), 5)


def _new_frame() -> Calls:
    def first_frame(x: torch.Tensor) -> torch.Tensor:
        return x + 1

    def another_frame(x: torch.Tensor) -> torch.Tensor:
        return x - 1

    one, other = _compiled(first_frame), _compiled(another_frame)
    return lambda: one(torch.ones(4)), lambda: other(torch.ones(4))


def _unary(name: str, first: Callable[[], torch.Tensor], second: Callable[[], torch.Tensor], **options: Any) -> Calls:
    def body(x: torch.Tensor) -> torch.Tensor:
        return x * 2 + 1

    body.__code__ = body.__code__.replace(co_name=name)
    run = _compiled(body, **options)
    return lambda: run(first()), lambda: run(second())


def _grad_mode() -> Calls:
    def under_grad_mode(x: torch.Tensor) -> torch.Tensor:
        return x * 2

    run = _compiled(under_grad_mode)

    def without() -> None:
        with torch.no_grad():
            run(torch.ones(4))

    return lambda: run(torch.ones(4)), without


def _global_state() -> Calls:
    def under_global_state(x: torch.Tensor) -> torch.Tensor:
        return x * 2

    run = _compiled(under_global_state)

    def deterministic() -> None:
        torch.use_deterministic_algorithms(True)
        try:
            run(torch.ones(4))
        finally:
            torch.use_deterministic_algorithms(False)

    return lambda: run(torch.ones(4)), deterministic


def _list_length() -> Calls:
    def over_list(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        return sum(tensors, torch.zeros(4))

    run = _compiled(over_list)
    return lambda: run([torch.ones(4)]), lambda: run([torch.ones(4)] * 2)


def _shapes(name: str, first: tuple[int, ...], second: tuple[int, ...], **options: Any) -> Callable[[], Calls]:
    return lambda: _unary(name, lambda: torch.ones(first), lambda: torch.ones(second), **options)


PLANTED = (
    Planted("Python int guard", _integer_argument, "scale_by_integer", "factor"),
    Planted("new frame", _new_frame, "another_frame", "compiled for the first time"),
    Planted(
        "dtype",
        lambda: _unary("of_dtype", lambda: torch.ones(4), lambda: torch.ones(4, dtype=torch.float64)),
        "of_dtype",
        "dtype",
    ),
    Planted(
        "stride",
        lambda: _unary("of_stride", lambda: torch.ones(4, 6), lambda: torch.ones(6, 4).t()),
        "of_stride",
        "stride",
    ),
    Planted(
        "layout",
        lambda: _unary(
            "of_layout",
            lambda: torch.ones(2, 3, 4, 5),
            lambda: torch.ones(2, 3, 4, 5).to(memory_format=torch.channels_last),
        ),
        "of_layout",
        "stride",
    ),
    Planted("mutated module attribute", _mutated_attribute, "forward", "step"),
    Planted("grad mode", _grad_mode, "under_grad_mode", "grad_mode"),
    Planted("global state", _global_state, "under_global_state", "deterministic_algorithms"),
    Planted("size-one dimension", _shapes("of_one_row", (4, 6), (1, 6), dynamic=True), "of_one_row", "x"),
    Planted("0/1 specialization", _shapes("of_no_row", (4, 6), (0, 6), dynamic=True), "of_no_row", "x"),
    Planted("another size of static code", _shapes("of_size", (4, 6), (8, 6), dynamic=False), "of_size", "size"),
    Planted("list length", _list_length, "over_list", "tensors"),
)


def _collected() -> Calls:
    first, _ = _shapes("benign_gc", (4, 6), (4, 6))()

    def second() -> None:
        gc.collect()
        first()

    return first, second


def _logging() -> Calls:
    first, _ = _shapes("benign_logging", (4, 6), (4, 6))()

    def second() -> None:
        logging.getLogger("torch._dynamo").info("nothing of note")
        logging.getLogger(__name__).info("a message of the pipeline's own")
        first()

    return first, second


def _cache_that_fills() -> Calls:
    cache: dict[int, torch.Tensor] = {}
    run, _ = _shapes("benign_cache", (4, 6), (4, 6))()

    def call() -> None:
        if len(cache) < 2:
            cache[len(cache)] = torch.ones(8)
        run()

    return call, call


def _allocation() -> Calls:
    first, _ = _shapes("benign_allocation", (4, 6), (4, 6))()

    def second() -> None:
        held = [torch.empty(1 << 16) for _ in range(64)]
        first()
        held.clear()

    return first, second


BENIGN = {
    "garbage collection": _collected,
    "logging": _logging,
    "a cache that fills once": _cache_that_fills,
    "growth of the allocator": _allocation,
    "another size of dynamic code": _shapes("benign_size", (4, 6), (8, 10), dynamic=True),
    "the same call again": _shapes("benign_repetition", (4, 6), (4, 6)),
}
