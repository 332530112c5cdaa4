"""Python's garbage collector, out of the way of what allocates much and drops nothing."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_paused() -> Iterator[None]:
    """
    Read thousands of records without collecting garbage: none arises, and looking for it time and again through all
    that was read makes the time grow faster than the number of records.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
