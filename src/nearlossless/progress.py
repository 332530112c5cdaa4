"""Signs of life: a line when a phase begins, and another every while until it ends, with the time left where known."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

HEARTBEAT_S = 20.0
LINE_EVERY_S = 2.0  # of counted steps: a log of a thousand pictures should not be a thousand lines


class Progress:
    """Writes whole lines, never carriage returns, so that it reads well in CI logs too."""

    def __init__(
        self,
        write: Callable[[str], None],
        *,
        heartbeat_s: float = HEARTBEAT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write = write
        self._heartbeat_s = heartbeat_s
        self._clock = clock
        self._text, self._since = "", clock()
        self._began = self._since  # of the phase
        self._counted: tuple[float, float] | None = None  # when the last step ended, and seconds that were left then
        self._last_line = -LINE_EVERY_S

    def say(self, text: str) -> None:
        """One line; what the heartbeat repeats from now on."""
        self.begin(text)
        self._write(text)

    def begin(self, text: str) -> None:
        """No line of its own, only what the heartbeat repeats from now on."""
        self._text, self._since, self._counted = text, self._clock(), None

    def step(self, text: str, done: int, total: int) -> None:
        """
        `done` of `total` steps since the phase began, with the time left if the rest goes as the former went.

        The first and the last have a line, of those between one every `LINE_EVERY_S` seconds at most.
        """
        now = self._clock()
        left_s = (now - self._began) / done * (total - done) if done else None
        self._text = f"{text}: {done} of {total}"
        self._counted = (now, left_s) if left_s is not None else None
        if done in {1, total} or now - self._last_line >= LINE_EVERY_S:
            self._last_line = now
            self._write(self._text + (f", about {duration(left_s)} left" if left_s else ""))

    def within(self, text: str, budget_s: float) -> None:
        """One line about a phase that ends by itself, after `budget_s` seconds at the latest."""
        left_s = max(0.0, budget_s - (self._clock() - self._began))
        self.begin(text)
        self._write(f"{text}, at most {duration(left_s)} left")

    @contextmanager
    def phase(self, text: str) -> Iterator[None]:
        """Say `text`, then repeat what was last said until the block ends."""
        self.say(text)
        self._began, self._last_line = self._since, -LINE_EVERY_S
        stop = threading.Event()

        def beat() -> None:
            while not stop.wait(self._heartbeat_s):
                self._write(self._beat())

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _beat(self) -> str:
        now, counted = self._clock(), self._counted
        if counted is None:
            return f"{self._text}: {now - self._since:.0f} s so far"
        then, left_s = counted
        left = f", about {duration(left_s - (now - then))} left" if left_s > now - then else ""
        return f"{self._text}: {now - self._began:.0f} s so far{left}"


def duration(seconds: float) -> str:
    """As `45 s`, `12 min` or `3 h 20 min`."""
    whole = max(0, round(seconds))
    if whole < 90:
        return f"{whole} s"
    minutes = round(whole / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
