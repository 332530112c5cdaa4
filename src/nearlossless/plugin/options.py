"""The plugin's options: they select, none of them loosens a threshold."""

from pathlib import Path

import pytest

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
        "--history",
        metavar="DIR",
        help="keep the record of this run in a folder of records, for 'nearlossless history' (default: keep none)",
    )
    parser.addini("nearlossless_history", "folder in which the record of each run is kept (default: none)", default="")
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
