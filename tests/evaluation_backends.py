"""User backends that fail at some prompts, for evaluations in worker processes too; told by environment variables."""

import os
import signal
from pathlib import Path
from typing import Any

DEADLY, DEADLY_ONCE = "NEARLOSSLESS_TEST_DEADLY", "NEARLOSSLESS_TEST_DEADLY_ONCE"
STOPPED_ONCE = "NEARLOSSLESS_TEST_STOPPED_ONCE"


class Wrapped:
    """A pipeline that does something more at some prompts; everything else is the wrapped one's."""

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pipeline, name)

    def __call__(self, prompt: str, **options: Any) -> Any:
        """The wrapped pipeline's call."""
        return self._pipeline(prompt=prompt, **options)


class Deadly(Wrapped):
    """Ends its process at a prompt that a variable names, or the first time at another."""

    def __call__(self, prompt: str, **options: Any) -> Any:
        """Die or draw."""
        if prompt == os.environ.get(DEADLY):
            os._exit(1)
        if _is_first(DEADLY_ONCE, prompt):
            os._exit(1)
        return super().__call__(prompt, **options)


class Stopped(Wrapped):
    """Its process gets a SIGTERM at a prompt that a variable names, the first time."""

    def __call__(self, prompt: str, **options: Any) -> Any:
        """Be stopped or draw."""
        if _is_first(STOPPED_ONCE, prompt):
            os.kill(os.getpid(), signal.SIGTERM)
        return super().__call__(prompt, **options)


def _is_first(variable: str, prompt: str) -> bool:
    """Whether the variable names this prompt, for the first time, which leaves the file that it names behind."""
    named, _, mark = os.environ.get(variable, "").partition("|")
    if named != prompt or Path(mark).exists():
        return False
    Path(mark).touch()
    return True


class Failing(Wrapped):
    """Raises at prompts with a word."""

    def __call__(self, prompt: str, **options: Any) -> Any:
        """Fail or draw."""
        if "star" in prompt:
            raise ValueError("planted: no such kernel")
        return super().__call__(prompt, **options)


def same(pipeline: Any) -> Any:
    """The pipeline as it is."""
    return pipeline


def deadly(pipeline: Any) -> Any:
    """Kills its process."""
    return Deadly(pipeline)


def stopped(pipeline: Any) -> Any:
    """Has its process stopped."""
    return Stopped(pipeline)


def failing(pipeline: Any) -> Any:
    """Raises at some prompts."""
    return Failing(pipeline)
