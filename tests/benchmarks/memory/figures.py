"""Memory figures beside an independent count of the same bytes, off by at most 1 %."""

import json
import math
from pathlib import Path
from typing import Any

import torch
from tests.benchmarks.memory.runs import run

from nearlossless.memory.held import host_bytes, settled, tensor_bytes
from nearlossless.memory.peaks import ResidentPeak
from nearlossless.miniature import PIPELINE

MIB = 1024**2
KNOWN_BYTES = (64 * MIB, 256 * MIB, 1024 * MIB)


def measure_figures(leaks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row a figure: what was measured, and what an independent count says."""
    _of_allocation(MIB)  # what a first use loads is none of an allocation's
    rows = [row for known in KNOWN_BYTES for row in _of_allocation(known)]
    for row in leaks:
        known = row["planted_bytes"]
        if known >= MIB:  # below, a page of 4 KiB and a block's header are more than 1 %
            rows.append(_row(f"host memory a call, {row['kind']}", known, row["slope_bytes"]))
        if row["kind"] == "tensors":
            rows.append(_row("tensors a call", known, row["tensor_bytes"]))
    left = run("outlives", leak_calls=40, max_leak_kib=32.0).residue_bytes
    rows.append(_row("residue of a whole pipeline", _stored_bytes(), left))
    return rows


def _row(figure: str, known: int, measured: float | None) -> dict[str, Any]:
    off = abs(measured / known - 1) if measured is not None else None
    return {"figure": figure, "known_bytes": known, "measured_bytes": measured, "off": off}


def _of_allocation(known: int) -> list[dict[str, Any]]:
    """Of this process: so many bytes that are all written to, while they are kept and after they are gone."""
    meter = ResidentPeak()
    meter.reset()
    with settled():
        before = tensor_bytes("cpu"), host_bytes(), meter.read().gated_bytes
        kept = torch.full((known,), 1, dtype=torch.uint8)
        own, tensors = host_bytes(), tensor_bytes("cpu")
        del kept
        peak = meter.read().gated_bytes
    assert own is not None
    assert before[1] is not None
    return [
        _row("bytes in tensors", known, tensors - before[0]),
        _row("own pages of the host's", known, own - before[1]),
        _row("resident peak, after it is gone", known, peak - before[2]),
    ]


def _stored_bytes() -> int:
    """Of all weights of the miniature in float32, by the shapes that the headers of its files name."""
    total = 0
    for path in sorted(Path(PIPELINE).rglob("*.safetensors")):
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        tensors = [value for name, value in header.items() if name != "__metadata__"]
        total += sum(4 * math.prod(tensor["shape"]) for tensor in tensors)
    return total
