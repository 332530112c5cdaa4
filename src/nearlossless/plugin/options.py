"""The plugin's options: they select, none of them loosens a threshold."""

from pathlib import Path

import pytest

from nearlossless.plugin.budget import TIERS
from nearlossless.plugin.shards import parse_shard

DEFAULT_REPORT = "nearlossless-report"


def add_options(parser: pytest.Parser) -> None:
    """Register them."""
    group = parser.getgroup("nearlossless", "gate a faster diffusion pipeline against its baseline")
    group.addoption(
        "--case",
        action="append",
        default=[],
        metavar="NAME",
        help="gate this case (repeatable; default: all that run by default)",
    )
    group.addoption(
        "--recipe",
        action="append",
        default=[],
        metavar="NAME",
        help="gate this recipe (repeatable; default: all of the case)",
    )
    group.addoption(
        "--backend",
        metavar="MODULE:FUNCTION",
        help="try a backend on the cases without editing a file, under their default thresholds",
    )
    group.addoption(
        "--against",
        metavar="PYTHON",
        help="interpreter of another environment: is this one slower, larger, or does it draw differently?",
    )
    group.addoption(
        "--processes",
        type=int,
        default=1,
        metavar="N",
        help="measure the speedup in at least N processes, since autotuning may choose other kernels in each",
    )
    group.addoption(
        "--baselines", type=Path, metavar="DIR", help="folder of case folders (default: baselines in the root folder)"
    )
    group.addoption(
        "--report-dir",
        type=Path,
        metavar="DIR",
        help=f"folder for record.json, summary.md, report.html and pictures (default: {DEFAULT_REPORT})",
    )
    group.addoption(
        "--prompts",
        metavar="FILE",
        help="prompts of the evaluation with -m release: JSON Lines, .tsv or miniature:held-out (default: the case's)",
    )
    group.addoption(
        "--require-gpu",
        action="store_true",
        help="fail the gates that need a GPU where there is none, instead of skipping them",
    )
    group.addoption(
        "--update-baselines",
        action="store_true",
        help="write candidates for the expected pictures into the report folder and fail; see 'nearlossless approve'",
    )
    _add_history_options(parser, group)
    _add_spending_options(parser, group)


def _add_history_options(parser: pytest.Parser, group: pytest.OptionGroup) -> None:
    """Which former runs there are to look back on, and whether this one joins them."""
    group.addoption(
        "--history",
        metavar="DIR",
        help="keep the record of this run in a folder of records, for 'nearlossless history' (default: keep none)",
    )
    group.addoption(
        "--history-read-only",
        action="store_true",
        help="look back on the history (order under a budget, time left, what changed since the last green run), and"
        " keep nothing in it",
    )
    parser.addini("nearlossless_history", "folder in which the record of each run is kept (default: none)", default="")


def _add_spending_options(parser: pytest.Parser, group: pytest.OptionGroup) -> None:
    """How much of which machines a run takes."""
    group.addoption(
        "--budget",
        type=float,
        metavar="MINUTES",
        help="GPU-minutes to spend, where evidence is missing most; gates that it does not reach are INCONCLUSIVE",
    )
    group.addoption("--tier", metavar="NAME", help="spend the minutes that nearlossless_tiers gives this name")
    parser.addini(
        "nearlossless_tiers",
        f"NAME = MINUTES, one a line: budgets by name (default: {', '.join(TIERS)})",
        type="linelist",
        default=list(TIERS),
    )
    group.addoption(
        "--shard",
        type=parse_shard,
        metavar="K/N",
        help="only the K-th of N parts of the cases; 'nearlossless merge' puts the N records together",
    )
    group.addoption(
        "--cpu-shares",
        type=int,
        metavar="N",
        help="split the cores in N equal shares, so that as many of pytest-xdist's workers can judge gates on the CPU",
    )
