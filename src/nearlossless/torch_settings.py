"""torch's global settings: what a picture depends on, and how they are put back after a backend."""

from collections.abc import Iterator
from contextlib import contextmanager
from operator import attrgetter
from typing import Any

SDP_KERNELS = ("flash", "mem_efficient", "math")  # torch.backends.cuda has a switch for each
# Where torch 2.9 and newer has a precision of its own for float32, parents before their children, who inherit it.
_PRECISIONS = (
    "cuda.matmul",
    "cudnn",
    "cudnn.conv",
    "cudnn.rnn",
    "mkldnn",
    "mkldnn.matmul",
    "mkldnn.conv",
    "mkldnn.rnn",
)
_OLDER_NAMES = {"tf32": "high", "bf16": "medium"}


def matmul_precision() -> str:
    """How precise a product of float32 matrices has to be: "highest", "high" or "medium"."""
    import torch

    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:  # set by torch 2.9's names, which differ by device
        return _OLDER_NAMES.get(torch.backends.cuda.matmul.fp32_precision, "highest")


def convolves_in_tf32() -> bool:
    """Whether cuDNN may round the factors of a convolution to TF32."""
    import torch

    try:
        return bool(torch.backends.cudnn.allow_tf32)
    except RuntimeError:  # set for convolutions and recurrent layers apart
        cudnn: Any = torch.backends.cudnn  # whose types know the older name alone
        return bool(cudnn.conv.fp32_precision == "tf32")


def attention_setting() -> str:
    """Which of torch's attention kernels are switched on."""
    return "sdpa:" + "+".join(kernel for kernel in SDP_KERNELS if _sdp_is_enabled(kernel))


def _sdp_is_enabled(kernel: str) -> bool:
    import torch

    return bool(getattr(torch.backends.cuda, f"{kernel}_sdp_enabled")())


@contextmanager
def restored_torch_settings() -> Iterator[None]:
    """Put torch's global settings back, whatever a backend does to them."""
    import torch

    settings: list[tuple[Any, str]] = [
        (torch.backends.cudnn, "benchmark"),
        (torch.backends.cudnn, "deterministic"),
        (torch.backends.cuda.matmul, "allow_bf16_reduced_precision_reduction"),
        (torch.backends.cuda.matmul, "allow_fp16_reduced_precision_reduction"),
    ]
    before = [(owner, name, getattr(owner, name)) for owner, name in settings]
    dtype, grad = torch.get_default_dtype(), torch.is_grad_enabled()
    deterministic, threads = torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    kernels = [kernel for kernel in (*SDP_KERNELS, "cudnn") if hasattr(torch.backends.cuda, f"{kernel}_sdp_enabled")]
    attention = {kernel: _sdp_is_enabled(kernel) for kernel in kernels}
    try:
        with _restored_precisions():
            yield
    finally:
        for owner, name, value in before:
            setattr(owner, name, value)
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(grad)
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        for kernel, is_enabled in attention.items():
            getattr(torch.backends.cuda, f"enable_{kernel}_sdp")(is_enabled)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)


@contextmanager
def _restored_precisions() -> Iterator[None]:
    """Of float32, by the older names and by those of torch 2.9."""
    import torch

    owners: list[Any] = []
    if hasattr(torch.backends, "fp32_precision"):
        owners = [torch.backends, *(attrgetter(name)(torch.backends) for name in _PRECISIONS)]
    before, older = [(owner, owner.fp32_precision) for owner in owners], _older_names()
    try:
        yield
    finally:
        _put_back(before)
        if older is not None and _older_names() != older:
            torch.set_float32_matmul_precision(older[0])
            torch.backends.cudnn.allow_tf32 = older[1]
            _put_back(before)  # the older names set some of them


def _older_names() -> tuple[str, bool] | None:
    """None where the newer names were used in a way that the older ones cannot say."""
    import torch

    try:
        return torch.get_float32_matmul_precision(), bool(torch.backends.cudnn.allow_tf32)
    except RuntimeError:
        return None


def _put_back(precisions: list[tuple[Any, str]]) -> None:
    for owner, value in precisions:
        if owner.fp32_precision != value:
            owner.fp32_precision = value
