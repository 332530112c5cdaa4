"""What a serving worker makes of errors."""

import pytest
import torch

from nearlossless.backends import BackendError
from nearlossless.cases import CaseError
from nearlossless.serving import is_out_of_memory


def raised(kind: type[Exception], *, is_told: bool) -> Exception:
    """An error that another one was turned into, with `from error` or `from None`."""
    try:
        try:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        except RuntimeError as error:
            raise kind("drawing 64x64") from (error if is_told else None)
    except kind as error:
        return error


@pytest.mark.parametrize(("kind", "is_told"), [(BackendError, True), (CaseError, False)])
def test_lack_of_memory_is_seen_through_other_errors(kind: type[Exception], is_told: bool) -> None:
    """A lack of GPU memory is seen whatever it was turned into while drawing or loading."""
    assert is_out_of_memory(raised(kind, is_told=is_told))


def test_other_errors_are_none() -> None:
    """An error of another kind does not end the other stack's worker."""
    assert not is_out_of_memory(BackendError("the kernel is missing"))
    assert not is_out_of_memory(None)
