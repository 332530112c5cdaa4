"""Signs of life."""

import threading

import pytest

from nearlossless.progress import Progress

TINY_S = 0.001
PATIENCE_S = 10.0


class Log:
    """Keeps lines and tells when a heartbeat came."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.beat = threading.Event()

    def write(self, text: str) -> None:
        """One line."""
        self.lines.append(text)
        if "so far" in text:
            self.beat.set()


def test_phase_is_said_at_its_begin() -> None:
    """A phase is announced before its work begins."""
    log = Log()
    with Progress(log.write).phase("load"):
        assert log.lines == ["load"]


def test_heartbeat_repeats_while_a_phase_lasts() -> None:
    """A phase that lasts is repeated, with the seconds so far."""
    log = Log()
    with Progress(log.write, heartbeat_s=TINY_S).phase("load"):
        assert log.beat.wait(PATIENCE_S)
    assert "load: 0 s so far" in log.lines


def test_heartbeat_repeats_what_was_said_last() -> None:
    """Within a phase the heartbeat tells the newest line."""
    log = Log()
    progress = Progress(log.write, heartbeat_s=TINY_S)
    with progress.phase("pairs"):
        progress.say("pair 5")
        log.beat.clear()
        assert log.beat.wait(PATIENCE_S)
    assert any(line.startswith("pair 5:") for line in log.lines)


def test_heartbeat_ends_with_its_phase() -> None:
    """After a phase no thread of it is left to write."""
    before = threading.active_count()
    with Progress(Log().write, heartbeat_s=TINY_S).phase("load"):
        assert threading.active_count() == before + 1
    assert threading.active_count() == before


def test_heartbeat_ends_when_a_phase_raises() -> None:
    """An error passes through, and the heartbeat ends all the same."""
    before = threading.active_count()
    with pytest.raises(RuntimeError, match="broken"), Progress(Log().write, heartbeat_s=TINY_S).phase("load"):
        raise RuntimeError("broken")
    assert threading.active_count() == before


def test_lines_are_whole() -> None:
    """No line holds a carriage return or a line break of its own."""
    log = Log()
    with Progress(log.write, heartbeat_s=TINY_S).phase("load"):
        assert log.beat.wait(PATIENCE_S)
    assert not any(mark in line for line in log.lines for mark in "\r\n")
