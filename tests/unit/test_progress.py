"""Signs of life."""

import threading

import pytest

from nearlossless.progress import LINE_EVERY_S, Progress, duration

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


class Clock:
    """Seconds that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        """The time."""
        return self.now


def test_steps_tell_the_time_left() -> None:
    """The rest is expected to go as the former steps went; the last step leaves none."""
    log, clock = Log(), Clock()
    progress = Progress(log.write, clock=clock)
    with progress.phase("pictures: 0 of 4"):
        for done in range(1, 5):
            clock.now += 10.0
            progress.step("pictures", done, 4)
    assert log.lines[1:] == [
        "pictures: 1 of 4, about 30 s left",
        "pictures: 2 of 4, about 20 s left",
        "pictures: 3 of 4, about 10 s left",
        "pictures: 4 of 4",
    ]


def test_quick_steps_do_not_fill_the_log() -> None:
    """A thousand steps in ten seconds are a handful of lines, the first and the last among them."""
    log, clock = Log(), Clock()
    progress = Progress(log.write, clock=clock)
    with progress.phase("pictures: 0 of 1000"):
        for done in range(1, 1001):
            clock.now += 0.01
            progress.step("pictures", done, 1000)
    assert len(log.lines) <= 2 + 10 / LINE_EVERY_S + 1
    assert log.lines[1].startswith("pictures: 1 of 1000")
    assert log.lines[-1] == "pictures: 1000 of 1000"


def test_heartbeat_tells_the_time_left() -> None:
    """Between two steps the heartbeat counts down."""
    log, clock = Log(), Clock()
    progress = Progress(log.write, heartbeat_s=TINY_S, clock=clock)
    with progress.phase("pictures: 0 of 4"):
        clock.now = 10.0
        progress.step("pictures", 1, 4)
        clock.now = 20.0
        log.beat.clear()
        assert log.beat.wait(PATIENCE_S)
    assert "pictures: 1 of 4: 20 s so far, about 20 s left" in log.lines


def test_budget_bounds_the_time_left() -> None:
    """A phase that ends by itself tells how long it can take at most, never less than nothing."""
    log, clock = Log(), Clock()
    progress = Progress(log.write, clock=clock)
    with progress.phase("speedup"):
        clock.now = 45.0
        progress.within("speedup: sample 5", 60.0)
        clock.now = 75.0
        progress.within("speedup: sample 10", 60.0)
    assert log.lines[1:] == ["speedup: sample 5, at most 15 s left", "speedup: sample 10, at most 0 s left"]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.4, "0 s"), (89.4, "89 s"), (90, "2 min"), (5369, "89 min"), (5400, "1 h 30 min"), (7200, "2 h 0 min")],
)
def test_durations_are_short(seconds: float, shown: str) -> None:
    """Seconds, then minutes, then hours."""
    assert duration(seconds) == shown
