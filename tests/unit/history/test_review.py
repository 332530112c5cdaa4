"""`nearlossless history` and its plot, on a folder of records."""

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.unit.history.conftest import Night
from typer.testing import CliRunner

from nearlossless.cli import app
from nearlossless.history import findings
from nearlossless.history.store import append

NIGHTS = 24


@pytest.fixture
def store(night: Night, tmp_path: Path) -> Path:
    """Nights with a step of 5 % and an upgrade in their middle, and a damaged record."""
    noise = np.exp(0.003 * np.random.default_rng(0).normal(size=NIGHTS))
    for day in range(NIGHTS):
        is_after = day >= NIGHTS // 2
        stack = {"torch": "2.13.0" if is_after else "2.12.0"}
        append(night(day, factor=float(noise[day]) * (1.05 if is_after else 1.0), stack=stack), tmp_path / "store")
    (tmp_path / "store" / f"20260201T030000Z-{0:032x}.json").write_text("{", encoding="utf-8")
    return tmp_path / "store"


def run(store: Path, *options: str) -> Any:
    """What the command line did."""
    return CliRunner().invoke(app, ["history", "--store", str(store), *options])


def test_table_and_change_are_printed(store: Path) -> None:
    """Every run has its line, and the step its date and its cause; nothing else is found."""
    done = run(store)
    assert done.exit_code == 0
    assert "2026-01-01 03:00" in done.output
    assert "compiled-latency changes between 2026-01-12 03:00 and 2026-01-13 03:00" in done.output
    assert "torch: 2.12.0 -> 2.13.0" in done.output
    assert "24 run(s), 2 change(s)" in done.output  # of the latency and of the speedup


def test_damaged_record_is_named(store: Path) -> None:
    """What was left out is told, on standard error."""
    assert "left out: " in run(store).stderr
    assert "20260201T030000Z" in run(store).stderr


def test_one_figure_alone(store: Path) -> None:
    """With --figure there is no other column and no other change."""
    output = run(store, "--figure", "baseline-latency").output
    assert "baseline-latency" in output
    assert "compiled-latency" not in output
    assert "0 change(s) in 1 series" in output


@pytest.mark.parametrize(("runs", "searched"), [("9", False), ("10", True)])
def test_few_runs_are_told_as_not_searched(store: Path, runs: str, searched: bool) -> None:
    """With fewer than ten runs nothing is searched, and that is said instead of 'no change'."""
    (store / f"20260201T030000Z-{0:032x}.json").unlink()
    assert ("not searched" not in run(store, "--runs", runs, "--figure", "speedup").output) is searched


def test_nothing_that_fits_is_told(store: Path) -> None:
    """A case that no record has is told, not shown as an empty success."""
    assert "none of which measured what was asked for" in run(store, "--case", "nosuch").output


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--figure", "speed"), "is none of speedup"),
        (("--plot", "figure.docx"), "docx"),
        (("--case", "nosuch", "--plot", "figure.png"), "0 figures to plot"),
    ],
)
def test_wrong_option_is_an_error(store: Path, options: tuple[str, ...], reason: str) -> None:
    """An unknown figure, an unknown format and nothing to draw end with exit code 2 and the reason."""
    done = run(store, *options)
    assert (done.exit_code, reason in done.stderr) == (2, True), done.output


def test_missing_store_is_an_error(tmp_path: Path) -> None:
    """A folder that does not exist is no empty history."""
    assert run(tmp_path / "nosuch").exit_code == 2


def test_plot_is_drawn(store: Path, tmp_path: Path) -> None:
    """The picture is there, with something drawn in it, and marks a change in red."""
    path = tmp_path / "figure.png"
    assert run(store, "--figure", "compiled-latency", "--plot", str(path)).exit_code == 0
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    reddish = (pixels[..., 0] > 200) & (pixels[..., 1] < 100) & (pixels[..., 2] < 100)
    assert reddish.any()


def test_plot_without_a_change_marks_none(store: Path, tmp_path: Path) -> None:
    """A figure that did not change has no mark."""
    path = tmp_path / "figure.png"
    run(store, "--figure", "baseline-latency", "--plot", str(path))
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    assert not ((pixels[..., 0] > 200) & (pixels[..., 1] < 100) & (pixels[..., 2] < 100)).any()


def test_without_ruptures_the_table_remains(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the extra is not installed, it is said that no change was looked for, and how to get it."""
    monkeypatch.setattr(findings, "find_spec", lambda _name: None)
    output = run(store).output
    assert "changes were not looked for: pip install 'nearlossless[history]'" in output
    assert "changes between" not in output


def test_plot_without_matplotlib_is_an_error(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plot that cannot be drawn says what to install."""
    original = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ModuleNotFoundError(name)
        return original(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    done = run(store, "--plot", "figure.png")
    assert (done.exit_code, "pip install matplotlib" in done.stderr) == (2, True)


def test_control_characters_stay_out_of_the_terminal(night: Night, tmp_path: Path) -> None:
    """A stranger's record cannot steer the terminal, neither by its title nor by its stack nor by a file's name."""
    for day in range(20):
        factor, torch = (1.0, "\x1b[2J") if day < 10 else (2.0, "2")
        append(night(day, factor=factor, stack={"torch": torch}, hardware="card\x1b[31m"), tmp_path)
    (tmp_path / "\x1b[31m.json").write_text("{}", encoding="utf-8")
    done = CliRunner().invoke(app, ["history", "--store", str(tmp_path)], color=True)
    assert r"card\x1b[31m" in done.output
    assert "\x1b" not in done.output
