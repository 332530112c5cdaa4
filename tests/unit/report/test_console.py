"""What the terminal shows: colour only where it is wanted, and text of strangers as text."""

import pytest
from tests.unit.report.rendering import plain_console, with_reason

from nearlossless.record import Record
from nearlossless.report.console import render_console, render_table
from nearlossless.report.table import HEADINGS, Row

ESCAPE = "\x1b"


def test_console_without_colour_has_no_escape_codes(full_record: Record) -> None:
    """A plain log stays plain."""
    assert ESCAPE not in plain_console(full_record)


def test_console_with_colour_has_escape_codes(full_record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal outcomes have colours."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    assert ESCAPE in render_console(full_record, width=100, colour=True)


def test_no_color_wins_over_a_terminal(full_record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    """With NO_COLOR set there are no escape codes, even on a terminal and with FORCE_COLOR."""
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert ESCAPE not in render_console(full_record, width=100, colour=True)


def test_forced_colour_does_not_reach_plain_logs(full_record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the caller wants no colour, FORCE_COLOR brings none back."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert ESCAPE not in plain_console(full_record)


@pytest.mark.parametrize("part", ["case", "hardware", "gate", "reason"])
def test_console_names_escape_codes_of_others(full_record: Record, part: str) -> None:
    """Escape codes of a stranger's record, or in a reason from a coloured traceback, do not reach the terminal."""
    subject, evil = full_record.subjects[0], "\x1b[2Jred\x1b[0m \x1b]0;title\x07"
    assert subject.fingerprint is not None
    if part == "case":
        subject.case = evil
    elif part == "hardware":
        picture = subject.fingerprint.picture.model_copy(update={"hardware": evil})
        timing = subject.fingerprint.timing.model_copy(update={"picture": picture})
        subject.fingerprint = subject.fingerprint.model_copy(update={"timing": timing})
    else:
        setattr(subject.verdicts[0], part, evil)
    plain = plain_console(full_record)
    assert r"\x1b[2Jred" in plain
    assert ESCAPE not in plain
    assert "\x1b[2J" not in render_console(full_record, width=100, colour=True)


def test_table_names_escape_codes_of_its_title() -> None:
    """A title is a case's, a recipe's or a machine's name, which a record tells."""
    table = render_table([], title="mini\x1b[2J", colour=False)
    assert r"mini\x1b[2J" in table
    assert ESCAPE not in table


def test_console_takes_brackets_for_text(full_record: Record) -> None:
    """What looks like the console library's own markup is shown as it is."""
    assert "[bold]loud[/bold]" in plain_console(with_reason(full_record, "[bold]loud[/bold]"))


def test_console_does_not_wrap_reasons(full_record: Record) -> None:
    """A reason stays on one line, so that it can be searched for."""
    reason = "word " * 80 + "end"
    assert reason in plain_console(with_reason(full_record, reason))


def test_table_has_its_rows_and_headings() -> None:
    """A single table shows its title, the headings and each row's cells."""
    rows = [Row(label="End-to-end time", unit="s", baseline=2.0, compiled=1.5, digits=3)]
    text = render_table(rows, title="miniature / inductor / cpu", colour=False)
    for part in ("miniature / inductor / cpu", *HEADINGS[1:], "End-to-end time", "2.000 s", "1.500 s", "-25.0%"):
        assert part in text
