"""Rounds of cheap calls, and what lies in memory after each."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any

from nearlossless.backends import BackendError
from nearlossless.cases.case import Case, Generation
from nearlossless.fields import Device
from nearlossless.memory.held import host_bytes, settled, tensor_bytes
from nearlossless.memory.leaks import Rounds, is_clean, looks
from nearlossless.pipelines.drawing import draw_batch
from nearlossless.pipelines.requests import Batch, batches


def draw_rounds(
    pipeline: Any,
    case: Case,
    device: Device,
    *,
    all_sizes: bool,
    max_leak_kib: float,
    clock: Callable[[], float] = time.monotonic,
) -> Rounds:
    """
    Draw the same few pictures round after round, until memory is seen not to grow or the calls or the time run out.

    Only that nothing grows ends it early: what grows may be a cache that is still filling.

    Args:
        pipeline: Called before, at the case's own size.
        case: Says what is drawn, and for how long at most.
        device: Where.
        all_sizes: Whether the pipeline may be asked for another size than the case's own.
        max_leak_kib: What the host's memory may grow by a call, in KiB.
        clock: Seconds; monotonic.
    """
    drawn, sampling = leak_batches(case.generation, all_sizes=all_sizes), case.sampling
    rounds = Rounds(drawn=tuple(f"{batch[0].width}x{batch[0].height}" for batch in drawn))
    try:
        _draw(pipeline, case, drawn)  # what another size compiles or prepares once is none of the readings
        deadline = clock() + sampling.leak_budget_s

        def is_over() -> bool:
            return clock() >= deadline

        with settled():
            for count in looks(sampling.leak_calls, len(drawn)):
                while len(rounds.tensor_bytes) < count and not is_over():
                    _draw(pipeline, case, drawn)
                    _read(rounds, device)
                if is_over() or is_clean(rounds, max_leak_bytes=max_leak_kib * 1024):
                    break
    except BackendError as error:
        return rounds.model_copy(update={"problem": str(error)})
    return rounds


def leak_batches(generation: Generation, *, all_sizes: bool) -> list[Batch]:
    """
    The first batches of prompts in few steps, each at a size of its own: the smallest two of the case, or its own.

    Two where the case has two prompts or sizes, so that each call comes after another one; else one.
    """
    sizes = [(generation.height, generation.width)]
    if all_sizes:
        sizes = sorted(dict.fromkeys(generation.sizes), key=lambda size: size[0] * size[1])[:2]
    drawn = batches(generation)[:2]
    found = []
    for number in range(max(len(sizes), len(drawn))):
        height, width = sizes[number % len(sizes)]
        found.append(
            tuple(
                dataclasses.replace(request, height=height, width=width, steps=generation.size_steps)
                for request in drawn[number % len(drawn)]
            )
        )
    return found


def _draw(pipeline: Any, case: Case, drawn: Sequence[Batch]) -> None:
    for batch in drawn:
        draw_batch(pipeline, case.generation, batch)


def _read(rounds: Rounds, device: Device) -> None:
    was_told = len(rounds.host_bytes) == len(rounds.tensor_bytes)
    rounds.tensor_bytes.append(tensor_bytes(device))
    own = host_bytes()
    if own is not None and was_told:
        rounds.host_bytes.append(own)
    else:  # a system that is silent once: readings that belong to no round are none
        rounds.host_bytes.clear()
