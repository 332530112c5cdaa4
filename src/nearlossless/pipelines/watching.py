"""Look at the calls of a pipeline's methods for a while, without a hook that compiled code could see."""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


def can_be_watched(owner: Any, method: str) -> bool:
    """Whether there is such a method, and it can be replaced: an object with slots alone takes none."""
    return callable(getattr(owner, method, None)) and hasattr(owner, "__dict__")


@contextmanager
def watched(
    owner: Any,
    method: str,
    *,
    before: Callable[..., object] | None = None,
    after: Callable[[], object] | None = None,
) -> Iterator[None]:
    """
    Call `before` with the arguments of each call of `owner.method`, and `after` when it has returned.

    Written past `__setattr__`, which modules, pipelines and wrappers of compiled modules override. The signature stays
    visible: diffusers asks methods for theirs. A method that is replaced meanwhile stays replaced.

    Raises:
        AttributeError: There is no such method.
    """
    original, own = getattr(owner, method), vars(owner).get(method)

    @functools.wraps(original)
    def watching(*arguments: Any, **options: Any) -> Any:
        if before is not None:
            before(*arguments, **options)
        result = original(*arguments, **options)
        if after is not None:
            after()
        return result

    object.__setattr__(owner, method, watching)
    try:
        yield
    finally:
        if vars(owner).get(method) is watching:
            if own is not None:
                object.__setattr__(owner, method, own)
            else:
                object.__delattr__(owner, method)
