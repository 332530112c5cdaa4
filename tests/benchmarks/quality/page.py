"""Decisions -> figures, the page that tells them, and the contact sheet."""

import textwrap
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageDraw
from scipy.stats import binomtest
from tests.benchmarks.quality.changes import Change
from tests.benchmarks.quality.judging import Decision
from tests.benchmarks.quality.peers import NOT_RUN, PEERS

from nearlossless.verdicts import Outcome

OURS = "nearlossless"
GATES = (OURS, *(peer.name for peer in PEERS))
THUMBNAIL, LABEL, COLUMNS, GAP = 64, 20, 10, 4  # pixels, but for the columns
FONT, LETTERS = 8, 14  # size of a label, and letters in a line of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A change and what was decided about it, one decision a seed."""

    change: Change
    is_defect: bool
    decisions: list[Decision]

    def refusals(self, gate: str) -> int:
        """How many seeds a gate refused it on; ours refuses whatever is not green."""
        if gate != OURS:
            return sum(gate in decision.refused_by for decision in self.decisions)
        # A defect that could not be compared was not caught; a benign change that could not be was refused.
        passes = (Outcome.PASS, Outcome.NOT_COMPARABLE, Outcome.INCONCLUSIVE) if self.is_defect else (Outcome.PASS,)
        return sum(decision.outcome not in passes for decision in self.decisions)

    @property
    def is_right(self) -> bool:
        """Whether our gate decided right on every seed."""
        return self.refusals(OURS) == (len(self.decisions) if self.is_defect else 0)


def rate(rows: list[Row], gate: str, *, defects: bool) -> dict[str, float]:
    """Share of decisions that refuse, with its exact 95 % interval (Clopper and Pearson)."""
    chosen = [row for row in rows if row.is_defect is defects]
    refused, count = sum(row.refusals(gate) for row in chosen), sum(len(row.decisions) for row in chosen)
    interval = binomtest(refused, count).proportion_ci(0.95, "exact")
    return {"refused": refused, "of": count, "share": refused / count, "low": interval.low, "high": interval.high}


def figures(rows: list[Row], settings: dict[str, Any]) -> dict[str, Any]:
    """Everything that was measured, as JSON holds it."""
    return {
        "settings": settings,
        "rates": {
            gate: {"defects": rate(rows, gate, defects=True), "benign": rate(rows, gate, defects=False)}
            for gate in GATES
        },
        "not_run": NOT_RUN,
        "changes": [
            {
                "name": row.change.name,
                "description": row.change.description,
                "defect": row.is_defect,
                "batch_size": row.change.batch_size,
                "baseline_dtype": row.change.dtype,
                "refused": {gate: row.refusals(gate) for gate in GATES},
                "decisions": [
                    {
                        "seed": decision.seed,
                        "outcome": decision.outcome,
                        "caught_by": decision.caught_by,
                        "worst_tile_ssim": decision.worst_tile_ssim,
                        "parity_ratio": decision.parity_ratio,
                        "largest_difference": decision.largest_difference,
                        "refused_by": decision.refused_by,
                    }
                    for decision in row.decisions
                ],
            }
            for row in rows
        ],
    }


def _share(found: dict[str, float]) -> str:
    return f"{found['refused']:.0f} of {found['of']:.0f} ({found['low']:.1%} to {found['high']:.1%})"


def _rates(rows: list[Row]) -> list[str]:
    lines = [
        "| gate | rule | code | defects caught | missed | false alarms |",
        "| --- | --- | --- | ---: | ---: | ---: |",
    ]
    rules = {OURS: ("the CPU thresholds of `baselines/miniature/case.toml`", "this project's")}
    rules |= {peer.name: (peer.rule, peer.source) for peer in PEERS}
    for gate, (rule, source) in rules.items():
        caught, alarms = (rate(rows, gate, defects=defects) for defects in (True, False))
        missed = f"{caught['of'] - caught['refused']:.0f}"
        lines.append(f"| {gate} | {rule} | {source} | {_share(caught)} | {missed} | {_share(alarms)} |")
    return lines + [f"| {name} | not run | - | - | - | - |" for name in NOT_RUN]


def _table(rows: list[Row], *, defects: bool) -> list[str]:
    titles = ["change", "what it is", *GATES, "our checks", "worst tile", "largest difference", "step parity"]
    lines = [f"| {' | '.join(titles)} |", f"|{' --- |' * len(titles)}"]
    for row in rows:
        if row.is_defect is not defects:
            continue
        checks = dict.fromkeys(name for decision in row.decisions for name in decision.caught_by)
        tiles = [d.worst_tile_ssim for d in row.decisions if d.worst_tile_ssim is not None]
        ratios = [d.parity_ratio for d in row.decisions if d.parity_ratio is not None]
        cells = [
            row.change.name,
            row.change.description,
            *(f"{row.refusals(gate)}/{len(row.decisions)}" for gate in GATES),
            "; ".join(checks) or "-",
            f"{min(tiles):.4f}" if tiles else "-",
            str(max(decision.largest_difference for decision in row.decisions)),
            f"{max(ratios):.3g}" if ratios else "-",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _introduction(settings: dict[str, Any]) -> list[str]:
    seeds, prompts = ", ".join(map(str, settings["seeds"])), "; ".join(f"'{p}'" for p in settings["prompts"])
    return [
        "# What the quality gate catches",
        "",
        "Written by `tox run -e bench-quality`. Defects and benign changes of the miniature's pipeline, judged by the",
        "quality gate as a run judges a recipe; other projects' default gates judge the same pictures. A benign change",
        "is other rounding or another place to compute; a defect is what a person would call wrong.",
        "",
        f"Prompts: {prompts}; seeds {seeds}; neither was used for tuning.",
        f"{settings['size']}, {settings['steps']} steps, {settings['cpu']}, {settings['threads']} threads,",
        f"torch {settings['stack']['torch']}.",
        "",
        "A decision is one change on one seed: two pictures, for ours also step parity, a replay and",
        "the noise floor that `nearlossless calibrate` measures here, on other prompts and seeds. Intervals are",
        "exact (Clopper and Pearson, 95 %) over decisions; the seeds of one change are not independent of each other:",
        "the intervals are, if anything, too narrow.",
        "",
    ]


def render(rows: list[Row], settings: dict[str, Any]) -> str:
    """The page."""
    lines = [
        *_introduction(settings),
        *_rates(rows),
        "",
        *(f"{name} was not run: {reason}" for name, reason in NOT_RUN.items()),
        "",
        "Below, cells count the seeds on which a gate refused. Worst tile: least SSIM of any tile of any picture",
        "against the live baseline. Largest difference: of any pixel, in levels of 255. Step parity: RMS distance of",
        "the transformer's output to a reference one precision up, in units of the baseline's own, at its worst step.",
        "",
        "## Defects",
        "",
        *_table(rows, defects=True),
        "",
        "![The baseline's picture, and what each defect makes of it](quality.png)",
        "",
        "## Benign changes",
        "",
        *_table(rows, defects=False),
        "",
    ]
    return "\n".join(lines)


def contact_sheet(rows: list[Row]) -> Image.Image:
    """The baseline's picture, then each defect's, the last one of the first seed."""
    defects = [row for row in rows if row.is_defect]
    tiles = [("baseline", defects[0].decisions[0].expected)]
    tiles += [(row.change.name, row.decisions[0].obtained) for row in defects]
    width, height = THUMBNAIL + GAP, THUMBNAIL + LABEL + GAP
    sheet = Image.new("RGB", (COLUMNS * width - GAP, -(-len(tiles) // COLUMNS) * height), "white")
    draw = ImageDraw.Draw(sheet)
    for number, (name, path) in enumerate(tiles):
        x, y = number % COLUMNS * width, number // COLUMNS * height
        sheet.paste(Image.open(path).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS), (x, y + LABEL))
        draw.text((x, y), textwrap.fill(name, LETTERS), fill="black", font_size=FONT, spacing=0)
    return sheet
