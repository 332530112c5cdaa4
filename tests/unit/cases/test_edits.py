"""Thresholds go into a case file's text, and nothing else in it moves."""

import difflib
import tomllib

import pytest

from nearlossless.cases.edits import EditError, one_line, with_thresholds

GPU = "NVIDIA H100 80GB HBM3"
VALUES = {"min_speedup": (1.25, "measured 1.3"), "max_peak_gib": (20.5, "measured 20.1")}
LAYOUTS = {
    "empty": "",
    "other override": "# head\n[overrides.cpu.thresholds] # odd   spacing\nmin_speedup   = 1.0 # why\n",
    "out of order": "[overrides.cpu.thresholds]\na = 1\n\n[x]\nb = 1\n\n[overrides.cuda.thresholds]\nc = 1\n",
    "tables after it": "[overrides.cpu.thresholds]\na = 1\n\n[[references.X]]\nb = 1\n\n[[references.X]]\nb = 2\n",
    "dotted keys": "overrides.cpu.thresholds.a = 1\n[x]\nb = 2\n",
    "same table": f'[overrides."{GPU}".recipes.inductor]\nmax_cold_start_s = 9.0 # kept\n\n[x]\nb = 2\n',
    "same hardware": f'[overrides."{GPU}"]\nbaseline_does_not_fit = "much too large"\n',
    "windows lines": "a = 1\r\n[b]\r\nc = 2\r\n",
}


@pytest.mark.parametrize("text", LAYOUTS.values(), ids=LAYOUTS)
def test_thresholds_are_added_and_nothing_else_moves(text: str) -> None:
    """Whatever the layout, the new file says what the old one said and the thresholds; no old line is touched."""
    edited = with_thresholds(text, GPU, "inductor", VALUES, because="why")
    expected = tomllib.loads(text)
    table = expected.setdefault("overrides", {}).setdefault(GPU, {}).setdefault("recipes", {})
    values = {name: value for name, (value, _) in VALUES.items()}
    table.setdefault("inductor", {}).update(values | {"because": "why"})
    assert tomllib.loads(edited) == expected
    assert not [
        line for line in difflib.ndiff(text.split("\n"), edited.split("\n")) if line.startswith("- ") and line[2:]
    ]


def test_band_is_written_figure_by_figure() -> None:
    """A dotted name goes into its band, beside what the band says already; one that stands there is refused."""
    text = f'[overrides."{GPU}".recipes.inductor]\nlive.max_difference = 9.0\n'
    edited = with_thresholds(text, GPU, "inductor", {"live.min_ssim": (0.98, "measured")}, because="why")
    table = tomllib.loads(edited)["overrides"][GPU]["recipes"]["inductor"]
    assert table["live"] == {"max_difference": 9.0, "min_ssim": 0.98}
    with pytest.raises(EditError, match=r"live\.min_ssim"):
        with_thresholds(edited, GPU, "inductor", {"live.min_ssim": (0.9, "again")}, because="why")


def test_lines_tell_date_reason_and_basis() -> None:
    """The reason stands above the new lines, and behind each what it rests on."""
    edited = with_thresholds("", GPU, "inductor", VALUES, because="2026-01-02: first night")
    assert edited.splitlines() == [
        f'[overrides."{GPU}".recipes.inductor]',
        'because = "2026-01-02: first night"',
        "min_speedup = 1.25 # measured 1.3",
        "max_peak_gib = 20.5 # measured 20.1",
    ]


def test_second_reason_becomes_a_comment() -> None:
    """A table that gives a reason already keeps it, and the new one stands above the new lines."""
    text = f'[overrides."{GPU}".recipes.inductor]\nbecause = "the first reason"\n'
    edited = with_thresholds(text, GPU, "inductor", VALUES, because="the second reason")
    assert tomllib.loads(edited)["overrides"][GPU]["recipes"]["inductor"]["because"] == "the first reason"
    assert "# the second reason\n" in edited


@pytest.mark.parametrize("line", ["live.min_ssim = 0.9 # old", "live = { min_ssim = 0.9 }"])
def test_threshold_is_replaced_where_it_stands(line: str) -> None:
    """A threshold that may be replaced gets its new value in place; the lines around it stay."""
    text = f'[overrides."{GPU}".recipes.inductor]\nmin_speedup = 1.1 # kept\n{line}\n\n[x]\nb = 2 # kept too\n'
    values = {"live.min_ssim": (0.98, "measured 0.99"), "max_peak_gib": (20.5, "measured")}
    edited = with_thresholds(text, GPU, "inductor", values, because="why", replaced=["live.min_ssim"])
    table = tomllib.loads(edited)["overrides"][GPU]["recipes"]["inductor"]
    assert table == {"because": "why", "min_speedup": 1.1, "live": {"min_ssim": 0.98}, "max_peak_gib": 20.5}
    assert all(kept in edited for kept in ("min_speedup = 1.1 # kept\n", "b = 2 # kept too\n"))
    assert "0.9 # old" not in edited


def test_threshold_that_stands_there_is_not_overwritten() -> None:
    """A threshold that the table already has is an error that names it."""
    text = f'[overrides."{GPU}".recipes.inductor]\nmin_speedup = 9.0\n'
    with pytest.raises(EditError, match="min_speedup; nothing is overwritten"):
        with_thresholds(text, GPU, "inductor", VALUES, because="why")


@pytest.mark.parametrize("text", ["overrides = { cpu = {} }\n", "overrides = 1\n", "[overrides\n"])
def test_layout_that_cannot_take_lines_is_an_error(text: str) -> None:
    """An inline table, a value of another kind or broken TOML is an error, not a guess."""
    with pytest.raises(EditError):
        with_thresholds(text, GPU, "inductor", VALUES, because="why")


@pytest.mark.parametrize("evil", ["a\nmin_speedup = 0.1", "a\r\nb", "a\x00b\x1b[31m", "\u2028x"])
def test_reason_cannot_leave_its_comment(evil: str) -> None:
    """A reason with line breaks or control characters stays one comment."""
    edited = with_thresholds("", GPU, "inductor", VALUES, because=evil)
    assert tomllib.loads(edited)["overrides"][GPU]["recipes"]["inductor"]["min_speedup"] == 1.25
    assert one_line(evil).isprintable()
