"""What this very process holds, beside allocations of known size."""

from pathlib import Path
from typing import Any

import pytest
import torch

from nearlossless.memory.held import host_bytes, residue_bytes, settled, tensor_bytes

MIB = 1024**2
can_tell = pytest.mark.skipif(host_bytes() is None, reason="the system does not tell a process's own pages")


def own_bytes() -> int:
    """What the system tells."""
    found = host_bytes()
    assert found is not None
    return found


@can_tell
def test_host_memory_is_counted_to_one_percent() -> None:
    """64 MiB that are written to show within 1 % while they are kept, and are gone when they are given back."""
    before = own_bytes()
    kept = bytearray(b"\1") * (64 * MIB)
    during = own_bytes()
    del kept
    after = own_bytes()
    assert during - before == pytest.approx(64 * MIB, rel=0.01)
    assert during - after == pytest.approx(64 * MIB, rel=0.01)


@can_tell
def test_pages_of_the_allocator_are_given_back_first() -> None:
    """Small blocks that were freed do not count, although the C library keeps their pages for later."""
    before = own_bytes()
    kept = [bytes(bytearray(1000)) for _ in range(64_000)]
    top = b"\1" * 1000
    during = own_bytes()
    kept.clear()
    assert during - before > 48 * MIB
    assert own_bytes() - before < 4 * MIB
    assert len(top) == 1000


@pytest.mark.parametrize("content", [None, "", "Rss: 12 kB\n"])
def test_silent_system_is_no_figure(tmp_path: Path, content: str | None) -> None:
    """Without the system's file, or without the lines in it, there is nothing rather than zero."""
    path = tmp_path / "smaps_rollup"
    if content is not None:
        path.write_text(content, encoding="ascii")
    assert host_bytes(path) is None


def test_swapped_pages_count(tmp_path: Path) -> None:
    """A leak that the system moved to its disk is still one; pages of files are none."""
    path = tmp_path / "smaps_rollup"
    path.write_text("Rss: 900 kB\nAnonymous: 100 kB\nSwap: 28 kB\nSwapPss: 28 kB\n", encoding="ascii")
    assert host_bytes(path) == 128 * 1024


def test_live_tensors_are_counted_to_the_byte() -> None:
    """Views and parameters of one storage count once, whatever they show of it, and nothing after the last is gone."""
    with settled():
        before = tensor_bytes("cpu")
        whole = torch.zeros(1000, dtype=torch.float32)
        views = [whole[:10], whole.view(torch.uint8), torch.nn.Parameter(whole)]
        assert tensor_bytes("cpu") - before == 4000
        del whole
        assert tensor_bytes("cpu") - before == 4000
        views.clear()
        assert tensor_bytes("cpu") == before


def test_garbage_is_collected_before_tensors_are_counted() -> None:
    """A tensor in a cycle that nobody holds is none."""
    with settled():
        before = tensor_bytes("cpu")
        cycle: list[Any] = [torch.zeros(1000)]
        cycle.append(cycle)
        del cycle
        assert tensor_bytes("cpu") == before


def test_tensors_that_stand_for_none_are_not_counted() -> None:
    """Neither those on the meta device nor the compiler's fake ones take memory."""
    from torch._subclasses import FakeTensorMode

    with settled():
        before = tensor_bytes("cpu")
        with FakeTensorMode():
            fake = torch.zeros(1000)
        meta = torch.zeros(1000, device="meta")
        assert tensor_bytes("cpu") == before
        assert len(fake) == len(meta) == 1000


def test_proxies_are_not_asked() -> None:
    """An object that loads something when its class is asked for is left alone."""

    class Proxy:
        asked = 0

        @property  # type: ignore[misc]  # as proxies do
        def __class__(self) -> Any:
            Proxy.asked += 1
            return Proxy

    with settled():
        proxies = [Proxy()]
        tensor_bytes("cpu")
    assert (len(proxies), Proxy.asked) == (1, 0)


def test_what_was_there_is_held_apart_and_put_back() -> None:
    """Inside `settled` only new tensors count; afterwards the old ones do again."""
    old = torch.zeros(1000, dtype=torch.uint8)
    with settled():
        apart = tensor_bytes("cpu")
        new = torch.zeros(24, dtype=torch.uint8)
        assert tensor_bytes("cpu") - apart == 24
    both = tensor_bytes("cpu")
    del old, new
    assert both - tensor_bytes("cpu") == 1024


@pytest.mark.parametrize("is_kept", [False, True])
def test_residue_is_what_outlives_a_compiled_module(is_kept: bool) -> None:
    """Once a module that was compiled and called is gone, nothing of it is left; the weight that somebody keeps is."""
    before = residue_bytes("cpu")
    module = torch.nn.Linear(100, 100, bias=False)
    module.compile(backend="eager", dynamic=True)
    for rows in (2, 3):
        module(torch.zeros(rows, 100))
    kept = [module.weight] if is_kept else []
    del module
    assert residue_bytes("cpu") - before == (40_000 if is_kept else 0)
    assert len(kept) == is_kept
