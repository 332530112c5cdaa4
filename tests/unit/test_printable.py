"""Text of strangers, made printable."""

import pytest

from nearlossless.printable import printable, quoted


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ünïcode", "plain ünïcode"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("\u202egnp.exe\u2028\r", r"\u202egnp.exe\u2028\r"),
        ("\ud800 \U000e0001", r"\ud800 \U000e0001"),
    ],
)
def test_control_characters_are_named(text: str, shown: str) -> None:
    """What steers a terminal, turns text round or is no character is told by its name; all else stays."""
    assert printable(text) == shown


def test_quoted_text_is_one_line() -> None:
    """A line break within quotes begins no line of a log."""
    assert quoted("red\n::error::star") == r"'red\n::error::star'"
