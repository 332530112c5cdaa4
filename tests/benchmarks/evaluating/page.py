"""`docs/benchmarks/evaluate.md` from its figures, and which promises they miss."""

from typing import Any

MOST_OVERHEAD = 0.03
MOST_GROWTH_BYTES = 100  # a prompt, of peak memory: six figures for the quantiles; its features lie on disk
MIB = 1024**2
ONE_WORKER = "ray, 1 worker"


def missed(found: dict[str, Any]) -> list[str]:
    """Promises that the figures break; of parts that were not measured none."""
    overheads = {name: found.get("speed", {}).get(name, 0.0) for name in ("overhead", "ray_overhead")}
    told = [
        f"{name.replace('_', ' ')} {overhead:.1%}, at most {MOST_OVERHEAD:.0%}"
        for name, overhead in overheads.items()
        if overhead > MOST_OVERHEAD
    ]
    if "memory" in found and (growth := growth_bytes(found["memory"])) > MOST_GROWTH_BYTES:
        told.append(f"memory grows by {growth:.0f} bytes a prompt, at most {MOST_GROWTH_BYTES}")
    for name, row in found.get("calibration", {}).get("changes", {}).items():
        wanted = "PASS" if name == "identical" else "REGRESSION"
        orders = found["calibration"]["orders"]
        if row["verdict"] != wanted or row["outcomes"][wanted] < orders:
            told.append(f"{name}: {row['outcomes'][wanted]} of {orders} orders end as {wanted}, all should")
    return told


def growth_bytes(memory: dict[str, Any]) -> float:
    """Peak bytes a prompt, between the fewest and the most prompts."""
    runs = {int(count): row for count, row in memory["runs"].items()}
    few, many = min(runs), max(runs)
    return float(runs[many]["peak_bytes"] - runs[few]["peak_bytes"]) / max(1, many - few)


def render(found: dict[str, Any]) -> str:
    """The page."""
    lines = [
        "# What an evaluation costs, and what it catches",
        "",
        (
            "Written by `tox run -e bench-evaluate`; raw figures in [evaluate.json](evaluate.json). Parts can be"
            " measured alone with `--only`, the timed ones (`speed`) on a quiet machine."
        ),
        "",
    ]
    parts = {"calibration": _calibration, "speed": _speed, "memory": _memory, "cost": _cost}
    for name, told in parts.items():
        lines += [*told(found[name]), ""] if name in found else []
        lines += [_end(found), ""] if name == "speed" and found.keys() >= {"speed", "memory"} else []
    promises = found["missed"] or ["none"]
    return "\n".join([*lines, f"Promises missed: {'; '.join(promises)}.", ""])


def _calibration(found: dict[str, Any]) -> list[str]:
    rows = [
        f"| {name} | {row['relative_clip_drop']:.2%} | {row['share_off']:.1%} | {row['five_pictures_pass']:.0%} |"
        f" {row['verdict']} | {row['prompts_needed']['median']} ({row['prompts_needed']['most']}) |"
        for name, row in found["changes"].items()
    ]
    return [
        "## What a set shows that five pictures do not",
        "",
        (
            f"{found['prompts']} held-out captions of the miniature, {found['steps']} steps at {found['side_px']} px,"
            f" error rate {found['alpha']}. Bands: mean CLIP drop at most 0.3 points, at most 0.5 % of the prompts off;"
            " a prompt is off below a worst tile of 0.98, or with a CLIP drop of its own above 5 points. The last"
            f" column is how many prompts `--stop-early` takes: median (and most) of {found['orders']} shuffles."
        ),
        "",
        "| recipe | CLIP drop | prompts off | five pictures pass | verdict on the set | prompts needed |",
        "| --- | ---: | ---: | ---: | --- | ---: |",
        *rows,
    ]


def _speed(found: dict[str, Any]) -> list[str]:
    rows = [f"| {way} | {rate:.3f} |" for way, rate in found["median_prompts_per_s"].items()]
    return [
        "## Prompts a second",
        "",
        (
            f"The miniature, 128 px, 28 steps, one thread a worker. Bare loop and local engine draw"
            f" {found['prompts'] * found['rounds']} prompts, Ray's workers {found['prompts']} in each of"
            f" {found['rounds']} rounds, of which the median stands here. {_ray(found)}"
        ),
        "",
        "| | prompts a second |",
        "| --- | ---: |",
        *rows,
        "",
        (
            f"Overhead of the local engine over a bare loop that draws, compares and scores: {found['overhead']:.2%}"
            f" (standard error {found['overhead_error']:.2%}; at most {MOST_OVERHEAD:.0%}), of CPU seconds"
            f" {found['cpu_overhead']:.2%}. The engine's time goes from an empty results folder to the last prompt's"
            " result, kept and judged; the bare loop draws each prompt with the same pipelines right before or right"
            " after it, so that what slows the machine slows both."
        ),
    ]


def _ray(found: dict[str, Any]) -> str:
    """How Ray's figures were taken: formerly not beside a bare loop, and with a second worker that came later."""
    slowest, fastest = (choose(found["prompts_per_s"][ONE_WORKER]) for choose in (min, max))
    apart = (
        f"Ray's rounds are not drawn beside a bare loop, and one worker's alone range from {slowest:.3f} to"
        f" {fastest:.3f}: its rows tell what a second worker adds, not what Ray costs beside the others."
    )
    if "ray_overhead" not in found:
        return f"{apart} That was not measured. Their clock starts when the first worker has built its pipelines."
    return (
        f"{apart} With one worker, and each prompt beside a bare loop, it costs {found['ray_overhead']:.2%} (standard"
        f" error {found['ray_overhead_error']:.2%}; at most {MOST_OVERHEAD:.0%}). All pipelines are built before a"
        " clock starts."
    )


def _end(found: dict[str, Any]) -> str:
    """What comes on top of the overhead, by the number of prompts."""
    bare_s = 1 / found["speed"]["median_prompts_per_s"]["bare loop"]
    each_s = {int(count): row["seconds"] / int(count) for count, row in found["memory"]["runs"].items()}
    told = [f"{1000 * each:.1f} s ({each / bare_s:.1%}) where they are {count:,}" for count, each in each_s.items()]
    return (
        "Not in it, and to be added for a whole evaluation: what follows the last prompt (distances, quantiles, hash,"
        " plots, page). With results that are made up it takes, reading and keeping included, for each 1,000 prompts,"
        f" and beside a bare loop's time: {', '.join(told)}."
    )


def _memory(found: dict[str, Any]) -> list[str]:
    rows = [
        f"| {int(count):,} | {row['peak_bytes'] / MIB:.0f} MiB | {row['bytes_on_disk'] / int(count) / 1024:.1f} KiB |"
        f" {1000 * row['seconds'] / int(count):.1f} ms |"
        for count, row in found["runs"].items()
    ]
    return [
        "## Memory by the number of prompts",
        "",
        (
            "Results that are made up, and kept, judged and reported for real, in a fresh process each, with embeddings"
            f" of {found['dimensions']} numbers. Peak resident memory of the process that collects:"
        ),
        "",
        "| prompts | peak | on disk, a prompt | time, a prompt |",
        "| ---: | ---: | ---: | ---: |",
        *rows,
        "",
        f"{growth_bytes(found):.0f} bytes a prompt: six figures of each, for the quantiles.",
    ]


def _cost(found: dict[str, Any]) -> list[str]:
    rows = [
        f"| {name} | {row['baseline_s']:.2f} s | {row['recipe_s']:.2f} s | {row['start_s']:.0f} s | "
        + " | ".join(f"{hours:.2f} h ({row['gpu_hours'][gpus]:.1f})" for gpus, hours in row["hours"].items())
        + " |"
        for name, row in found["recipes"].items()
    ]
    gpus = list(next(iter(found["recipes"].values()))["hours"])
    return [
        f"## {found['prompts']:,} prompts of SD3.5-Large",
        "",
        (
            "Computed, not run: from the latencies, loading and first calls of [h100.md](h100.md) (1024 px, 28 steps)"
            f" and {found['scoring_s']:.2f} s of comparing a pair on one CPU thread"
            " ([quality-cost.md](quality-cost.md)); one worker a GPU, baseline and recipe at every"
            " prompt, the CLIP of the case's judge not counted."
        ),
        "",
        "| recipe | baseline | recipe | start of a worker | "
        + " | ".join(f"{count} GPU{'s' * (int(count) > 1)} (GPU hours)" for count in gpus)
        + " |",
        "| --- | ---: | ---: | ---: |" + " ---: |" * len(gpus),
        *rows,
    ]
