"""Comparisons on one thread."""

from collections.abc import Callable, Iterator

import pytest
import torch
from PIL import Image

from nearlossless.metrics.colour import worst_colour_difference
from nearlossless.metrics.levels import level_differences
from nearlossless.metrics.pixels import Pixels
from nearlossless.metrics.structure import ssim
from nearlossless.metrics.threads import one_thread


@pytest.fixture
def three_threads() -> Iterator[None]:
    """A number of threads that is neither one nor this machine's."""
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("three_threads")
def test_threads_are_put_back() -> None:
    """The block runs on one thread; afterwards, even after an error, there are as many as before."""
    seen = []

    @one_thread()
    def failing() -> None:
        seen.append(torch.get_num_threads())
        raise ValueError("planted")

    with pytest.raises(ValueError, match="planted"):
        failing()
    assert seen == [1]
    assert torch.get_num_threads() == 3


@pytest.mark.usefixtures("three_threads")
@pytest.mark.parametrize("score", [ssim, level_differences, worst_colour_difference])
def test_scores_are_computed_on_one_thread(
    picture: Image.Image, score: Callable[[Pixels, Pixels], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Averaging over tiles, which every score does, meets one thread, and the caller has its three again."""
    threads = []
    unspied = torch.nn.functional.avg_pool2d

    def pooled(*arguments: object, **options: object) -> torch.Tensor:
        threads.append(torch.get_num_threads())
        averages: torch.Tensor = unspied(*arguments, **options)  # type: ignore[arg-type]
        return averages

    monkeypatch.setattr(torch.nn.functional, "avg_pool2d", pooled)
    score(Pixels(picture), Pixels(picture))
    assert set(threads) == {1}
    assert torch.get_num_threads() == 3
