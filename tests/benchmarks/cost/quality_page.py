"""The page about the quality gate's own cost, and which of its promises are missed."""

from statistics import median
from typing import Any

MOST_SCORES, MOST_PARITY = 1.5, 3.0
MIB = 2**20
MOST_GROWTH_BYTES = 4 * MIB  # the planted leak adds at least 13.5 MiB


def missed(found: dict[str, Any]) -> list[str]:
    """Promises that the figures break, or that they could not show broken."""
    wrong = [
        f"scores, {row['threads']} threads: {median(row['ratios']):.2f} times one SSIM, at most {MOST_SCORES}"
        for row in found["scores"]
        if not median(row["ratios"]) <= MOST_SCORES
    ]
    parity, memory = median(found["parity"]["parity_ratios"]), found["memory"]
    if not parity <= MOST_PARITY:
        wrong.append(f"step parity: {parity:.2f} generations, at most {MOST_PARITY}")
    if not memory["more_over_many_bytes"] <= MOST_GROWTH_BYTES:
        wrong.append(f"memory: {memory['more_over_many_bytes'] / MIB:.1f} MiB more over many pictures")
    if not memory["more_when_kept_bytes"] > MOST_GROWTH_BYTES:
        wrong.append(f"memory: pictures that are kept do not show ({memory['more_when_kept_bytes'] / MIB:.1f} MiB)")
    return wrong


def spread(values: list[float], form: str = ".2f") -> str:
    """The median, and the range."""
    return f"{median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def _scores_rows(found: dict[str, Any]) -> list[str]:
    return [
        f"| {row['threads']} | {spread(row['torchmetrics_ssim_s'], '.3f')} | {spread(row['all_scores_s'], '.3f')} | "
        f"{spread(row['ratios'])} | {', '.join(f'{part} {part_s:.3f}' for part, part_s in row['parts_s'].items())} |"
        for row in found["scores"]
    ]


def _memory_rows(memory: dict[str, Any]) -> list[str]:
    more = {"few": 0.0, "many": memory["more_over_many_bytes"] / MIB, "kept": memory["more_when_kept_bytes"] / MIB}
    rows = []
    for kind, title in {"few": "", "many": "", "kept": ", all kept (planted leak)"}.items():
        growth = [value / MIB for value in memory["growth_bytes"][kind]]
        rows.append(f"| {memory['pictures'][kind]}{title} | {spread(growth)} | {more[kind]:.2f} |")
    return rows


def render(found: dict[str, Any]) -> str:
    """The page."""
    parity, memory = found["parity"], found["memory"]
    rounds, runs = len(parity["generation_s"]), len(memory["growth_bytes"]["few"])
    lines = [
        "# What the quality gate costs",
        "",
        "Written by `tox run -e bench-quality-cost`; what is compared takes turns in one run. Medians, ranges in",
        f"brackets. Measured on {found['cpu']}, {found['threads']} threads, torch {found['torch']}.",
        "",
        "## Scores of a 1024x1024 pair",
        "",
        "All scores (SSIM, MS-SSIM, PSNR, levels, colour, each in its worst tile too) from two decoded pictures,",
        f"against one call of torchmetrics' SSIM: at most {MOST_SCORES} times its time. FLIP and LPIPS are left out.",
        "Ours run on one thread however many there are: hundreds of short operations would wait for each other.",
        "",
        "| threads | torchmetrics' SSIM s | all scores s | ratio | parts s |",
        "| ---: | ---: | ---: | ---: | --- |",
        *_scores_rows(found),
        "",
        "## Step parity and replay",
        "",
        f"The miniature on the CPU under `inductor`, parity at {parity['parity_steps']} of {parity['steps']} steps,",
        "with the recording of the baseline's picture included, in units of one generation of the baseline: at most",
        f"{MOST_PARITY}. The replay draws from the same recording. {rounds} rounds.",
        "",
        "| | s | in generations |",
        "| --- | ---: | ---: |",
        f"| one generation of the baseline | {spread(parity['generation_s'], '.3f')} | 1 |",
        f"| recording and step parity | {spread(parity['parity_s'], '.3f')} | {spread(parity['parity_ratios'])} |",
        f"| replay | {spread(parity['replay_s'], '.3f')} | {spread(parity['replay_ratios'])} |",
        "",
        "## Memory",
        "",
        f"The whole gate, from the recorded picture to the written report, over pictures of {memory['side_px']} pixels",
        f"a side in {memory['steps']} steps, live and stored ones compared, with an uncompiled copy of the miniature.",
        "Each run is in a process of its own, on one thread, after a small one that loads everything. Growth is the",
        "resident peak of the run (`VmHWM`, reset before it) over what was resident before; glibc gives blocks from",
        "32 KiB on back to the system at once (`MALLOC_MMAP_THRESHOLD_`), so that freed memory is not counted.",
        f"{runs} processes each; their range is the noise. {memory['pictures']['many']} pictures may take at most",
        f"{MOST_GROWTH_BYTES // MIB} MiB more than {memory['pictures']['few']}, and a planted leak has to take more.",
        "",
        "| pictures | growth, MiB | more than over few |",
        "| --- | ---: | ---: |",
        *_memory_rows(memory),
        "",
        *(f"**Missed:** {promise}\n" for promise in found["missed"]),
    ]
    return "\n".join(lines)
