"""The memory half of the page: measured, shown, and which promises are missed."""

from collections import Counter
from statistics import median
from typing import Any

from tests.benchmarks.memory.figures import measure_figures
from tests.benchmarks.memory.leaks import measure_benign, measure_leaks

KIB, MIB = 1024, 1024**2
SMALLEST_CAUGHT_BYTES = 64 * KIB
MOST_OFF = 0.01


def measure(processes: int) -> dict[str, Any]:
    """Planted leaks, benign changes and figures, each change in so many processes of its own."""
    leaks = measure_leaks(processes)
    return {"leaks": leaks, "benign": measure_benign(processes), "figures": measure_figures(leaks)}


def missed(found: dict[str, Any]) -> list[str]:
    """Promises that the figures break: a leak that passes, a benign change that does not, a figure that is off."""
    wrong = [
        f"a leak of {_size(row['planted_bytes'])} a call, {row['kind']}: {outcome} after {calls} calls"
        for row in found["leaks"]
        for calls, outcome in row["outcomes"].items()
        if (outcome != "REGRESSION" and row["planted_bytes"] >= SMALLEST_CAUGHT_BYTES)
    ]
    wrong += [
        f"{row['change']}: host {row['host']}, tensors {row['tensors']}"
        for row in found["benign"]
        if (row["host"], row["tensors"]) != ("PASS", "PASS")
    ]
    wrong += [
        f"{row['figure']}: {row['measured_bytes']} of {row['known_bytes']} bytes"
        for row in found["figures"]
        if row["off"] is None or not row["off"] <= MOST_OFF
    ]
    return wrong


def _size(size_bytes: float) -> str:
    return f"{size_bytes / MIB:g} MiB" if size_bytes >= MIB else f"{size_bytes / KIB:.3g} KiB"


def _told(outcomes: list[str]) -> str:
    return ", ".join(f"{outcome} {count} of {len(outcomes)}" for outcome, count in Counter(outcomes).most_common())


def _groups(rows: list[dict[str, Any]], *names: str) -> dict[tuple[Any, ...], list[dict[str, Any]]]:
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in names), []).append(row)
    return groups


def _leak_rows(rows: list[dict[str, Any]]) -> list[str]:
    lines = []
    for (kind, planted), group in _groups(rows, "kind", "planted_bytes").items():
        slope = median(row["slope_bytes"] for row in group)
        counts = dict.fromkeys(calls for row in group for calls in row["outcomes"])
        for calls in counts:
            outcomes = [row["outcomes"][calls] for row in group if calls in row["outcomes"]]
            shows = [row["would_show_bytes"][calls] for row in group if calls in row["would_show_bytes"]]
            lines.append(
                f"| {_size(planted)} | {kind} | {calls} | {_told(outcomes)} | {_size(slope)} | {_size(max(shows))} |"
            )
    return lines


def _benign_rows(rows: list[dict[str, Any]]) -> list[str]:
    lines = []
    for (change,), group in _groups(rows, "change").items():
        calls = sorted(row["calls"] for row in group)
        largest = max(row["slope_bytes"] for row in group)
        lines.append(
            f"| {change.replace('_', ' ')} | {_told([row['host'] for row in group])} |"
            f" {_told([row['tensors'] for row in group])} | {calls[0]} to {calls[-1]} | {largest / KIB:.2f} KiB |"
        )
    return lines


def _figure_rows(rows: list[dict[str, Any]]) -> list[str]:
    lines = []
    for (figure, known), group in _groups(rows, "figure", "known_bytes").items():
        worst = max(group, key=lambda row: row["off"])
        lines.append(f"| {figure} | {known / MIB:.3f} | {worst['measured_bytes'] / MIB:.3f} | {worst['off']:.2%} |")
    return lines


def render(found: dict[str, Any]) -> str:
    """The section."""
    lines = [
        "## Memory",
        "",
        "The worker process of the memory gate, on the miniature at 64x64 and 64x128 on the CPU, uncompiled, under a",
        "backend that does something with each call. Thresholds are the defaults: 32 KiB of host memory a call, not a",
        "byte of tensors.",
        "",
        "### Planted leaks",
        "",
        "Bytes kept with every call, outside of torch (host) or in tensors, and what the check that is about them",
        "says after so many calls, of which the later half is judged. *Would show*: the smallest leak of host memory",
        "that the interval at that number of calls tells from the threshold, worst of the processes. 16 KiB of host",
        "memory a call are below the threshold, and pass. Larger leaks get fewer calls, for the machine's memory.",
        "",
        "| leak a call | kind | calls | outcome | measured a call | would show |",
        "| ---: | --- | ---: | --- | ---: | ---: |",
        *_leak_rows(found["leaks"]),
        "",
        "### Benign changes",
        "",
        "None may be flagged. The calls end as soon as nothing is seen to grow; a cache that still fills takes more.",
        "",
        "| change | host memory | tensors | calls | largest slope a call |",
        "| --- | --- | --- | ---: | ---: |",
        *_benign_rows(found["benign"]),
        "",
        "### Figures beside known allocations",
        "",
        "At most 1 % off. Allocations are of this many bytes, all written to; a leak's are those that the backend",
        "keeps; the pipeline's are counted from the shapes in its files' headers. The worst of several processes.",
        "",
        "| figure | known, MiB | measured, MiB | off |",
        "| --- | ---: | ---: | ---: |",
        *_figure_rows(found["figures"]),
        "",
    ]
    return "\n".join(lines)
