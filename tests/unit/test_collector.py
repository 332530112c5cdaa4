"""The garbage collector, paused and put back."""

import contextlib
import gc

import pytest

from nearlossless.collector import collector_paused


@pytest.mark.parametrize("was_enabled", [True, False])
def test_collector_is_put_back_as_it_was(was_enabled: bool) -> None:
    """It rests inside the block, even one that raises, and whoever had switched it off keeps it off."""
    before = gc.isenabled()
    (gc.enable if was_enabled else gc.disable)()
    try:
        with contextlib.suppress(ValueError), collector_paused():
            assert not gc.isenabled()
            raise ValueError
        assert gc.isenabled() is was_enabled
    finally:
        (gc.enable if before else gc.disable)()
