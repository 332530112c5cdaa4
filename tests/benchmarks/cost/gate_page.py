"""The page about the whole gate's cost beside plain tests."""

from statistics import median
from typing import Any

from tests.benchmarks.cost.gate_runs import GATES, OURS, THEIRS

ANSWERS = {
    "memory": (
        "steady peak of each pipeline alone in a fresh process, phases apart; leaks, residue, proof of effect",
        "peak of the whole process, imports and compiling included",
    ),
    "startup": (
        "first call with empty and with primed caches, load apart, with a time limit",
        "first call with an empty and with a primed cache",
    ),
    "shapes": (
        "12 sizes and 6 other requests compile nothing, and each draws what the baseline draws",
        "12 sizes compile nothing",
    ),
    "quality": (
        "step parity, replay, worst tile, levels, colour and CLIP of 8 pictures, live and stored",
        "mean SSIM and CLIP of 8 pictures, live",
    ),
    "speedup": (
        "pairs in A B B A order until a 99.9 % interval lies on one side of the floor; time by phase",
        "ratio of two medians of 10 rounds after 3; no interval",
    ),
}


def medians(runs: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """By side: median seconds of each gate, and of all."""
    found = {}
    for side in (OURS, THEIRS):
        own = [run for run in runs if run["side"] == side]
        found[side] = {gate: median(run["gates_s"][gate] for run in own) for gate in GATES}
        found[side]["total"] = median(run["total_s"] for run in own)
    return found


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """What the page says, from the runs."""
    ours = [run for run in runs if run["side"] == OURS]
    phases = {name: median(run["phases_s"].get(name, 0.0) for run in ours) for name in ours[0]["phases_s"]}
    drawing = {name: median(run["drawing"][name] for run in ours) for name in ours[0]["drawing"]}
    by_side = medians(runs)
    return {
        "medians_s": by_side,
        "ratio": by_side[OURS]["total"] / by_side[THEIRS]["total"],
        "phases_s": phases,
        "drawing_s": drawing,
        "share_of_calls": median(sum(run["drawing"].values()) / run["total_s"] for run in ours),
        "green": all(run["exit_code"] == 0 for run in runs),
    }


def render(found: dict[str, Any]) -> str:
    """The page."""
    ours, theirs = (found["medians_s"][side] for side in (OURS, THEIRS))
    order = " ".join("A" if run["side"] == OURS else "B" for run in found["runs"])
    totals = ", ".join(f"{run['side']} {run['total_s']:.0f}" for run in found["runs"])
    total_s = ours["total"]
    lines = [
        "# What the gate costs beside plain tests",
        "",
        "Written by `tox run -e bench-gate-cost`: the miniature under `inductor` on the CPU, all five gates of this",
        "suite (A) and the same questions as plain pytest tests (B), each of which builds its own pipelines and takes",
        "fixed rounds: `tests/benchmarks/cost/plain`. Every run is a pytest of its own whose caches are empty at its",
        f"start; within a run, caches are shared. Medians of runs in the order {order}.",
        f"Measured on {found['cpu']}, {found['threads']} threads, torch {found['torch']}.",
        "",
        "| gate | nearlossless s | plain s | nearlossless answers | plain answers |",
        "| --- | ---: | ---: | --- | --- |",
        *(f"| {gate} | {ours[gate]:.1f} | {theirs[gate]:.1f} | {' | '.join(ANSWERS[gate])} |" for gate in GATES),
        f"| whole run | {total_s:.1f} | {theirs['total']:.1f} | {found['ratio']:.2f} times the plain tests | |",
        "",
        f"Whole runs, in their order, in seconds: {totals}. What several gates share (the fresh processes, the two",
        "pipelines) is counted for the first that asks for it. Whole runs also hold the start of Python, imports,",
        "collection and, for nearlossless, the reports.",
        "",
        "## Where our time goes",
        "",
        f"Calls of pipelines, compiling among them, take {found['share_of_calls']:.0%} of the whole run by the",
        "record's own figures. The rest is imports, loading, scores and reports, and calls that the record has no",
        "seconds for: the session's first pictures and compiling, step parity, replay, warm-up, and the baseline at",
        "other sizes.",
        "",
        "| recorded calls | s |",
        "| --- | ---: |",
        *(f"| {name} | {taken_s:.1f} |" for name, taken_s in found["drawing_s"].items()),
        "",
        "By the signs of life on the terminal, each from its line to the next one:",
        "",
        "| phase | s | share |",
        "| --- | ---: | ---: |",
        *(f"| {name} | {taken_s:.1f} | {taken_s / total_s:.0%} |" for name, taken_s in found["phases_s"].items()),
        "",
        *([] if found["green"] else ["**A run was not green: see the exit codes in gate-cost.json.**", ""]),
    ]
    return "\n".join(lines)
