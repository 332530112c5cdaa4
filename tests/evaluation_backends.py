"""User backends that fail at some prompts, for evaluations in worker processes too; told by environment variables."""

import os
from pathlib import Path
from typing import Any

DEADLY, DEADLY_ONCE = "NEARLOSSLESS_TEST_DEADLY", "NEARLOSSLESS_TEST_DEADLY_ONCE"


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
        once = os.environ.get(DEADLY_ONCE, "").partition("|")
        if once[0] == prompt and not Path(once[2]).exists():
            Path(once[2]).touch()
            os._exit(1)
        return super().__call__(prompt, **options)


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


def failing(pipeline: Any) -> Any:
    """Raises at some prompts."""
    return Failing(pipeline)
