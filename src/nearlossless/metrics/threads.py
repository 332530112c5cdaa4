"""How many threads a comparison of pictures runs on."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_thread() -> Iterator[None]:
    """
    Torch's operations in this block run on the calling thread alone.

    A comparison is hundreds of operations of a millisecond or less. Divided among threads, each of them ends by waiting
    for the slowest one; where another process holds its core, that takes longer than the work.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
