"""Where prompts are drawn: an engine takes them in order and gives results as they come."""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from nearlossless.environment import Fingerprint
from nearlossless.evaluation.pairs import DeviceLost, PairDrawer
from nearlossless.evaluation.prompts import Prompt
from nearlossless.evaluation.results import Drawn
from nearlossless.evaluation.store import Store

Results = Generator[Drawn, None, None]


class Engine(Protocol):
    """Something that draws. `workers` prompts are drawn at a time."""

    workers: int

    def start(self) -> Fingerprint:
        """Build the pipelines, or wait until the first worker has; what they draw on."""

    def results(self, prompts: Iterable[Prompt], store: Store) -> Results:
        """Draw all prompts; results in any order. Closing the iterator ends the drawing."""

    def close(self) -> None:
        """Give everything back."""


class LocalEngine:
    """Draws in this process, one prompt after the other. A prompt that kills it is set aside when it is run again."""

    workers = 1

    def __init__(
        self, build: Callable[[], PairDrawer], *, settings: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self._build, self._settings = build, settings
        self._drawer: PairDrawer | None = None

    def start(self) -> Fingerprint:
        """Build the pipelines."""
        with self._settings():
            self._drawer = self._build()
            return self._drawer.fingerprint

    def results(self, prompts: Iterable[Prompt], store: Store) -> Results:
        """One after the other, in the order given."""
        assert self._drawer is not None
        for prompt in prompts:
            yield store.attempt(prompt) or self._draw(self._drawer, prompt, store)

    def _draw(self, drawer: PairDrawer, prompt: Prompt, store: Store) -> Drawn:
        try:
            with self._settings():
                return drawer.draw(prompt, store.cut)
        except DeviceLost:
            raise  # as if the process had died of it
        except BaseException:
            store.give_up_attempt(prompt)
            raise

    def close(self) -> None:
        """Let the pipelines go."""
        self._drawer = None


@contextmanager
def fixed_threads(threads: int | None) -> Iterator[None]:
    """Torch computes on so many threads in this block, since how sums are divided decides their last bits."""
    import torch

    from nearlossless.torch_settings import restored_torch_settings

    with restored_torch_settings():
        if threads is not None:
            torch.set_num_threads(threads)
        yield
