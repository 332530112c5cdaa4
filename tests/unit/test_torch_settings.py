"""torch's settings: how they are told, and that they are put back."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from nearlossless.torch_settings import convolves_in_tf32, matmul_precision, restored_torch_settings

BACKENDS: Any = torch.backends  # of which torch's types know the older names alone
PRECISIONS = [BACKENDS, BACKENDS.cuda.matmul, BACKENDS.cudnn, BACKENDS.mkldnn]
PRECISIONS += [getattr(owner, op, None) for owner in PRECISIONS[2:] for op in ("conv", "rnn", "matmul")]
needs_new_names = pytest.mark.skipif(not hasattr(BACKENDS, "fp32_precision"), reason="names of torch 2.9 and newer")


def _settings() -> tuple[object, ...]:
    return (
        torch.get_float32_matmul_precision(),
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.get_num_threads(),
        torch.backends.cudnn.benchmark,
        torch.backends.cudnn.deterministic,
        torch.backends.cuda.flash_sdp_enabled(),  # type: ignore[no-untyped-call]
        torch.backends.cuda.mem_efficient_sdp_enabled(),  # type: ignore[no-untyped-call]
        torch.backends.cuda.math_sdp_enabled(),  # type: ignore[no-untyped-call]
        BACKENDS.cuda.cudnn_sdp_enabled(),
        [getattr(owner, "fp32_precision", None) for owner in PRECISIONS],
    )


CHANGES: dict[str, Callable[[], object]] = {
    "matmul precision": lambda: torch.set_float32_matmul_precision("high"),
    "default dtype": lambda: torch.set_default_dtype(torch.float64),
    "gradients": lambda: torch.set_grad_enabled(not torch.is_grad_enabled()),
    "deterministic": lambda: torch.use_deterministic_algorithms(mode=True),
    "threads": lambda: torch.set_num_threads(1 if torch.get_num_threads() > 1 else 2),
    "cudnn benchmark": lambda: setattr(torch.backends.cudnn, "benchmark", True),
    "cudnn deterministic": lambda: setattr(torch.backends.cudnn, "deterministic", True),
    "flash attention": lambda: torch.backends.cuda.enable_flash_sdp(enabled=False),
    "efficient attention": lambda: torch.backends.cuda.enable_mem_efficient_sdp(enabled=False),
    "plain attention": lambda: torch.backends.cuda.enable_math_sdp(enabled=False),
    "cudnn attention": lambda: BACKENDS.cuda.enable_cudnn_sdp(not BACKENDS.cuda.cudnn_sdp_enabled()),
}
# By the names of torch 2.9: in ways that the older ones can say, and cannot.
NEW_NAMES: dict[str, Callable[[], object]] = {
    "all in tf32": lambda: setattr(BACKENDS, "fp32_precision", "tf32"),
    "products in tf32": lambda: setattr(BACKENDS.cuda.matmul, "fp32_precision", "tf32"),
    "products in bf16 on the CPU": lambda: setattr(BACKENDS.mkldnn, "fp32_precision", "bf16"),
    "convolutions in full": lambda: setattr(BACKENDS.cudnn.conv, "fp32_precision", "ieee"),
}


@pytest.fixture
def settings_put_back() -> Iterator[None]:
    """Keep a setting that was not put back from reaching other tests."""
    precision, dtype, grad, _, _, threads, benchmark, cudnn_deterministic, *_ = _settings()
    yield
    torch.set_float32_matmul_precision(str(precision))
    torch.set_default_dtype(dtype if isinstance(dtype, torch.dtype) else torch.float32)
    torch.set_grad_enabled(bool(grad))
    torch.use_deterministic_algorithms(mode=False)
    torch.set_num_threads(int(str(threads)))
    torch.backends.cudnn.benchmark = bool(benchmark)
    torch.backends.cudnn.deterministic = bool(cudnn_deterministic)
    torch.backends.cuda.enable_flash_sdp(enabled=True)
    torch.backends.cuda.enable_mem_efficient_sdp(enabled=True)
    torch.backends.cuda.enable_math_sdp(enabled=True)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.usefixtures("settings_put_back")
def test_setting_is_put_back(change: str) -> None:
    """Whatever a backend does to a global setting of torch, it is undone."""
    before = _settings()
    with restored_torch_settings():
        CHANGES[change]()
        assert _settings() != before
    assert _settings() == before


@pytest.mark.usefixtures("settings_put_back")
def test_warn_only_is_put_back() -> None:
    """Deterministic algorithms that only warned before only warn afterwards."""
    torch.use_deterministic_algorithms(mode=True, warn_only=True)
    before = _settings()
    with restored_torch_settings():
        torch.use_deterministic_algorithms(mode=False)
    assert _settings() == before


@pytest.mark.usefixtures("settings_put_back")
def test_settings_are_put_back_after_an_error() -> None:
    """An error inside passes through, and the settings are undone all the same."""
    before = _settings()

    def fails() -> None:
        with restored_torch_settings():
            torch.set_default_dtype(torch.float64)
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        fails()
    assert _settings() == before


@needs_new_names
@pytest.mark.parametrize("change", NEW_NAMES)
@pytest.mark.usefixtures("settings_put_back")
def test_precision_by_its_new_name_is_put_back(change: str) -> None:
    """What the older names cannot read is undone by the newer ones, and the older ones can be read again."""
    before = _settings()
    with restored_torch_settings():
        NEW_NAMES[change]()
    assert _settings() == before


@needs_new_names
@pytest.mark.parametrize(
    ("change", "told"), [("products in tf32", ("high", True)), ("convolutions in full", ("highest", False))]
)
def test_precision_is_told_where_the_older_name_raises(change: str, told: tuple[str, bool]) -> None:
    """A fingerprint of a process that uses the newer names says what the older names would."""
    with restored_torch_settings():
        NEW_NAMES[change]()
        assert (matmul_precision(), convolves_in_tf32()) == told


@needs_new_names
def test_settings_that_only_the_new_names_can_say_are_left_alone() -> None:
    """Within a process that set products to TF32 by the newer name, a backend's change is undone, and no more."""
    with restored_torch_settings():
        BACKENDS.cuda.matmul.fp32_precision = "tf32"
        with restored_torch_settings():
            BACKENDS.fp32_precision = "ieee"
        assert (BACKENDS.cuda.matmul.fp32_precision, BACKENDS.fp32_precision) == ("tf32", "none")
