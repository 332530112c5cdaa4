"""Signs of life: a line when a phase begins, and another every while until it ends."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

HEARTBEAT_S = 20.0


class Progress:
    """Writes whole lines, never carriage returns, so that it reads well in CI logs too."""

    def __init__(self, write: Callable[[str], None], *, heartbeat_s: float = HEARTBEAT_S) -> None:
        self._write = write
        self._heartbeat_s = heartbeat_s
        self._text, self._since = "", time.monotonic()

    def say(self, text: str) -> None:
        """One line; what the heartbeat repeats from now on."""
        self.begin(text)
        self._write(text)

    def begin(self, text: str) -> None:
        """No line of its own, only what the heartbeat repeats from now on."""
        self._text, self._since = text, time.monotonic()

    @contextmanager
    def phase(self, text: str) -> Iterator[None]:
        """Say `text`, then repeat what was last said until the block ends."""
        self.say(text)
        stop = threading.Event()

        def beat() -> None:
            while not stop.wait(self._heartbeat_s):
                self._write(f"{self._text}: {time.monotonic() - self._since:.0f} s so far")

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
