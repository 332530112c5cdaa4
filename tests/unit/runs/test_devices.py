"""What a worker has to itself: GPUs as CUDA would show them, and shares of the cores."""

import pytest

from nearlossless.runs.devices import core_shares, visible_gpus

INSTALLED = ["GPU-1a2b", "GPU-3c4d", "GPU-5e6f"]


@pytest.mark.parametrize(
    ("variable", "expected"),
    [
        (None, INSTALLED),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
        ("2", ["2"]),
        ("2,0", ["2", "0"]),
        (" 1 , 2 ", ["1", "2"]),
        ("0,3,1", ["0"]),
        ("0,-1,1", ["0"]),
        ("1,1", []),
        ("GPU-3c4d,0", ["GPU-3c4d", "0"]),
        ("GPU-3c", ["GPU-3c"]),
        ("GPU-9999", []),
        ("MIG-1/7/0", ["MIG-1/7/0"]),
    ],
)
def test_gpus_are_seen_as_cuda_sees_them(variable: str | None, expected: list[str]) -> None:
    """An unset variable shows all, an unknown entry hides the rest, a repeated one hides everything."""
    assert visible_gpus(variable, INSTALLED) == expected


@pytest.mark.parametrize("variable", [None, "0", "GPU-1a2b", "MIG-1/7/0"])
def test_machine_without_a_driver_has_no_gpu(variable: str | None) -> None:
    """What the variable says makes no GPU where there is none."""
    assert visible_gpus(variable, []) == []


@pytest.mark.parametrize(
    ("cores", "count", "expected"),
    [
        ([0, 1], 2, [(0,), (1,)]),
        ([3, 1, 0, 2], 2, [(0, 1), (2, 3)]),
        ([0, 1, 2, 3, 4], 2, [(0, 1), (2, 3)]),
        ([4, 6], 1, [(4, 6)]),
    ],
)
def test_shares_are_of_one_size(cores: list[int], count: int, expected: list[tuple[int, ...]]) -> None:
    """Every share has as many cores as the others; those left over belong to none."""
    assert core_shares(cores, count) == expected


@pytest.mark.parametrize("count", [3, 0, -1])
def test_shares_that_cannot_be_are_refused(count: int) -> None:
    """A share without a core is no share, and neither is none."""
    with pytest.raises(ValueError, match=f"{count} shares of 2 core"):
        core_shares([0, 1], count)
