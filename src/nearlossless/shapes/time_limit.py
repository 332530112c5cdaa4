"""An end to a call that never returns, as far as a process can set one to itself."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class TimeLimitReached(BaseException):
    """Raised inside the call; no `except Exception` of the called code keeps it."""


@contextmanager
def time_limit(seconds: float, name: str) -> Iterator[None]:
    """
    Interrupt the block when it takes longer.

    Python looks for signals between two of its instructions: a kernel or a C function that never returns cannot be
    interrupted, and outside the main thread nothing is.

    Args:
        seconds: Until the interruption.
        name: The setting that says so, for the message.

    Raises:
        TimeLimitReached: In the block, once.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise TimeLimitReached(f"still busy after {seconds:g} s ({name})")

    handler = signal.signal(signal.SIGALRM, interrupt)
    former = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, *former)
        signal.signal(signal.SIGALRM, handler)
