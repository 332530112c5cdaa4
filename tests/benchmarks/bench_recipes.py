"""
Every recipe of the miniature on the CPU, through all gates, and the commands that stand for OneDiff's published ones.

Runs the gate tests once for each recipe and writes `docs/benchmarks/recipes.md` and `.json` from their records. nexfort
needs a torch of its own: its recipe runs under the interpreter that `--nexfort-python` names. Run by
`tox run -e bench-recipes`; exit code 1 when a gate is not green.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from nearlossless.atomic import write_text
from nearlossless.cases.files import load_case
from nearlossless.fields import GATES
from nearlossless.gates import GIB
from nearlossless.record import RECORD_FILE, read_record
from nearlossless.record.subject import SubjectRecord

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "benchmarks"
CASE, SEED_CASE = "miniature", "sd35-large"
GREEN = ("PASS", "NOT_APPLICABLE")


def gated(recipe: str, python: str, report: Path) -> SubjectRecord:
    """What the gate tests recorded of one recipe under an interpreter; a record that is there is taken as it is."""
    if not (report / RECORD_FILE).exists():
        command = [python, "-m", "pytest", "tests/gate", "--case", CASE, "--recipe", recipe, "-m", "not gpu"]
        subprocess.run([*command, "--report-dir", str(report)], cwd=ROOT, check=False)
    return read_record(report / RECORD_FILE).subjects[0]


def figures(subject: SubjectRecord) -> dict[str, Any]:
    """The figures of one recipe; None where a gate came to no figure."""
    checks = [check for verdict in subject.verdicts for check in verdict.checks]
    speedup = next((check for check in checks if check.name == "speedup"), None)
    tiles = [picture.live.worst_tile_ssim for picture in subject.pictures if picture.live is not None]
    ratios = [step.ratio for step in subject.parity.steps if step.ratio is not None]
    base, alone = subject.baseline_process, subject.cold_process
    return {
        "recipe": subject.recipe,
        "verdicts": {verdict.gate: verdict.outcome for verdict in subject.verdicts},
        "speedup": speedup.obtained if speedup else None,
        "speedup_interval": speedup.interval if speedup else None,
        "worst_tile_ssim": min(tiles, default=None),
        "step_parity": max(ratios, default=None),
        "baseline_peak_gib": base.peaks.steady_bytes / GIB if base else None,
        "peak_gib": alone.peaks.steady_bytes / GIB if alone else None,
        "cold_first_call_s": alone.first_call_s if alone else None,
        "warm_first_call_s": subject.warm_process.first_call_s if subject.warm_process else None,
        "graphs": subject.effect.graphs if subject.effect else None,
        "compiled_calls": subject.effect.compiled_calls if subject.effect else None,
        "quantized_layers": subject.effect.quantized_layers if subject.effect else {},
        "compiles_after_warmup": sum(size.compiles for size in subject.sizes),
        "sizes": len(subject.sizes),
        "cpu": subject.fingerprint.timing.cpu if subject.fingerprint else None,
        "threads": subject.fingerprint.timing.threads if subject.fingerprint else None,
        "stack": subject.fingerprint.stack if subject.fingerprint else {},
    }


def shown(value: float | None, form: str) -> str:
    """A figure for the page."""
    return "-" if value is None else format(value, form)


def row(found: dict[str, Any]) -> str:
    """One recipe's line of the table."""
    low, high = found["speedup_interval"] or (None, None)
    layers = sum(found["quantized_layers"].values())
    cells = [
        found["recipe"],
        found["stack"].get("torch", "-"),
        *(found["verdicts"].get(gate, "-") for gate in GATES),
        f"{shown(found['speedup'], '.2f')}x ({shown(low, '.2f')} to {shown(high, '.2f')})",
        shown(found["worst_tile_ssim"], ".4f"),
        shown(found["step_parity"], ".3g"),
        f"{shown(found['baseline_peak_gib'], '.3f')} / {shown(found['peak_gib'], '.3f')}",
        f"{shown(found['cold_first_call_s'], '.0f')} / {shown(found['warm_first_call_s'], '.0f')}",
        str(found["graphs"]),
        str(layers),
        f"{found['compiles_after_warmup']} in {found['sizes']} sizes",
    ]
    return f"| {' | '.join(cells)} |"


def seed_commands() -> list[tuple[str, str, str]]:
    """What each published figure was measured with, our command that draws the same, and the one that gates it."""
    case = load_case(ROOT / "baselines" / SEED_CASE)
    recipes = {reference.command: reference.recipe for found in case.references.values() for reference in found}
    gate = f"pytest tests/gate -m gpu --case {SEED_CASE}"
    return [
        (command, f"nearlossless generate --case {SEED_CASE} --recipe {recipe}", f"{gate} --recipe {recipe}")
        for command, recipe in recipes.items()
    ]


def render(found: list[dict[str, Any]]) -> str:
    """The page."""
    titles = ["recipe", "torch", *GATES, "speedup (99.9 % interval)", "worst-tile SSIM", "step parity"]
    titles += ["peak GiB, baseline / recipe", "first call s, cold / warm", "graphs", "quantized layers"]
    titles += ["compiles after warm-up"]
    lines = [
        "# Recipes on the miniature",
        "",
        "Written by `tox run -e bench-recipes`: each recipe that runs on a CPU, through all five gates.",
        f"Measured on {found[0]['cpu']}, {found[0]['threads']} threads.",
        "",
        f"| {' | '.join(titles)} |",
        f"|{' --- |' * len(titles)}",
        *map(row, found),
        "",
        "Worst-tile SSIM is the lowest of all pictures against the live baseline. Step parity: RMS distance of the",
        "compiled transformer to a reference one precision up, in units of the baseline's own, at its worst step. Two",
        "shared cores bound a speedup loosely; peaks are resident bytes of a process and include its libraries.",
        "",
        "## The published commands",
        "",
        "Each of OneDiff's commands for SD3.5-Large, and ours. The last gate asks all five questions, sizes included.",
        "",
        "| OneDiff | draws the same | gates it |",
        "| --- | --- | --- |",
        *(f"| `{theirs}` | `{draw}` | `{gate}` |" for theirs, draw, gate in seed_commands()),
        "",
    ]
    return "\n".join(lines)


def main() -> int:
    """Run every recipe, write the page, and tell what is not green."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nexfort-python", required=True, help="interpreter of the environment that has nexfort")
    parser.add_argument(
        "--reports",
        type=Path,
        default=ROOT / "nearlossless-report" / "recipes",
        help="a folder for each recipe's report; a recipe whose report lies there is not gated again",
    )
    options = parser.parse_args()
    recipes = load_case(ROOT / "baselines" / CASE).recipes
    found = [
        figures(
            gated(
                name, options.nexfort_python if recipe.backend == "nexfort" else sys.executable, options.reports / name
            )
        )
        for name, recipe in recipes.items()
        if recipe.devices is None or "cpu" in recipe.devices
    ]
    FOLDER.mkdir(parents=True, exist_ok=True)
    write_text(FOLDER / "recipes.json", json.dumps(found, indent=1) + "\n")
    write_text(FOLDER / "recipes.md", render(found))
    sys.stdout.write(render(found))
    red = [f"{row['recipe']} {gate}" for row in found for gate in GATES if row["verdicts"].get(gate) not in GREEN]
    sys.stdout.write("".join(f"NOT GREEN {name}\n" for name in red))
    return 1 if red else 0


if __name__ == "__main__":
    raise SystemExit(main())
