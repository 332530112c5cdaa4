"""What is done to a pipeline, and how a pipeline's calls and pictures are changed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from PIL import Image


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change of a pipeline: a function that takes a weight-sharing copy of the baseline and may rewire it."""

    apply: Callable[[Any], Any]
    batch_size: int = 1  # of the case that it is judged on
    dtype: str = "float32"  # of the baseline that it is judged beside
    compiles: bool = False

    @property
    def name(self) -> str:
        """As the page shows it."""
        return self.apply.__name__.replace("_", " ")

    @property
    def description(self) -> str:
        """First line of the function's docstring."""
        return (self.apply.__doc__ or "").strip().splitlines()[0].rstrip(".")


class Wrapped:
    """A pipeline whose calls are changed before, whose pictures are changed after; all else is the wrapped one's."""

    def __init__(
        self,
        pipeline: Any,
        *,
        before: Callable[[dict[str, Any]], dict[str, Any]] = lambda arguments: arguments,
        after: Callable[[Image.Image], Image.Image] = lambda picture: picture,
    ) -> None:
        self._pipeline, self._before, self._after = pipeline, before, after

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pipeline, name)

    def __call__(self, **arguments: Any) -> Any:
        """Draw."""
        output = self._pipeline(**self._before(arguments))
        output.images = [self._after(picture) for picture in output.images]
        return output
