"""
Step parity: given the baseline's inputs at a denoising step, is the compiled denoiser as close to the truth?

The truth is a reference one precision up. Distances to it are measured in units of the baseline's own, so that
rounding, which every way of computing does differently, is told from a defect before sampling chaos sets in.
"""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from nearlossless.parity.denoiser_calls import DenoiserCall
from nearlossless.record.quality import StepParity
from nearlossless.torch_settings import restored_torch_settings

if TYPE_CHECKING:
    from torch import Tensor, dtype

DEFAULT_STEPS = 6
# What rounding the exact result once costs: half a unit in the last place at most, evenly spread below that.
ROUNDING_MAX, ROUNDING_RMS = 1 / 2, 1 / math.sqrt(12)
SAMPLING_ERRORS = 3.0  # standard errors of the mean that a bias has to exceed


def chosen_steps(steps: int, count: int | None) -> list[int]:
    """`count` (None: six) of the steps 0 to `steps` - 1, evenly spread, the first and the last among them."""
    count = min(count or DEFAULT_STEPS, steps)
    return sorted({round(i * (steps - 1) / max(count - 1, 1)) for i in range(count)})


def reference_dtype(outputs: "list[Tensor]") -> "dtype":
    """One precision above what a denoiser returns: float32 for half precisions, float64 for float32."""
    import torch

    return torch.float32 if outputs[0].element_size() < torch.float32.itemsize else torch.float64


def reference_outputs(call: DenoiserCall, reference: Callable[..., Any]) -> "list[Tensor]":
    """What the reference returns, with TF32 and its like switched off for it."""
    import torch

    with restored_torch_settings():
        torch.set_float32_matmul_precision("highest")
        torch.backends.cudnn.allow_tf32 = False
        return call.repeated_with(reference)


def compare_step(call: DenoiserCall, compiled: Callable[..., Any], exact: "list[Tensor]") -> StepParity:
    """
    Both denoisers' distances to the reference at one of the baseline's calls.

    Args:
        call: The baseline's inputs and outputs.
        compiled: The compiled denoiser, called as the pipeline calls it.
        exact: What the baseline one precision up returns, see `reference_outputs`.

    Returns:
        Distances; a problem where the compiled denoiser fails on these inputs.
    """
    try:
        obtained = call.repeated_with(compiled)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # compiled code may even call sys.exit
        return StepParity(step=call.step, problem=f"{type(error).__name__}: {error}")
    return compare_outputs(call.step, call.outputs, obtained, exact)


def compare_outputs(
    step: int, baseline: "list[Tensor]", compiled: "list[Tensor]", reference: "list[Tensor]"
) -> StepParity:
    """The parity of the output that fares worst; outputs of another number or shape are a problem of their own."""
    wanted, obtained = ([tuple(tensor.shape) for tensor in tensors] for tensors in (baseline, compiled))
    if wanted != obtained or not wanted:
        return StepParity(step=step, problem=f"returned shapes {obtained}, the baseline {wanted}")
    return worst([compare_tensors(step, *tensors) for tensors in zip(baseline, compiled, reference, strict=True)])


def worst(parities: Sequence[StepParity]) -> StepParity:
    """The one with a problem, or else the largest ratio."""
    return max(parities, key=lambda parity: (parity.problem is not None, parity.ratio or 0.0))


def compare_tensors(step: int, baseline: "Tensor", compiled: "Tensor", reference: "Tensor") -> StepParity:
    """
    Distances of two tensors to a third, over the places where all three are finite.

    The baseline counts as at least one rounding away from the reference: in float32 it can come closer by luck.

    Source:
        RMS and maximum in units of the current implementation's own, and the mean against a quarter of the RMS:
        the rule by which SGLang admits kernels.
    """
    import torch

    problem = _unlike_places(baseline, compiled)
    eps, tiny = torch.finfo(baseline.dtype).eps, torch.finfo(baseline.dtype).tiny
    base, comp, ref = (tensor.to(reference.device, torch.float64) for tensor in (baseline, compiled, reference))
    finite = base.isfinite() & comp.isfinite() & ref.isfinite()
    count = int(finite.sum())
    if not count:
        return StepParity(step=step, problem=problem)
    base, comp, ref = base[finite], comp[finite], ref[finite]
    reference_rms, baseline_rms, compiled_rms = _rms(ref), _rms(base - ref), _rms(comp - ref)
    baseline_max, compiled_max = float((base - ref).abs().max()), float((comp - ref).abs().max())
    floor_rms = max(eps * ROUNDING_RMS * reference_rms, tiny)
    floor_max = max(eps * ROUNDING_MAX * float(ref.abs().max()), tiny)
    baseline_bias, compiled_bias = float((base - ref).mean()), float((comp - ref).mean())
    chance = SAMPLING_ERRORS * compiled_rms / math.sqrt(count)
    added = max(0.0, abs(compiled_bias) - abs(baseline_bias) - chance)
    return StepParity(
        step=step,
        problem=problem,
        reference_rms=reference_rms,
        baseline_rms=baseline_rms,
        compiled_rms=compiled_rms,
        baseline_max=baseline_max,
        compiled_max=compiled_max,
        baseline_bias=baseline_bias,
        compiled_bias=compiled_bias,
        ratio=compiled_rms / max(baseline_rms, floor_rms),
        max_ratio=compiled_max / max(baseline_max, floor_max),
        bias_share=added / max(compiled_rms, floor_rms),
    )


def _rms(tensor: "Tensor") -> float:
    return float(tensor.square().mean().sqrt())


def _unlike_places(baseline: "Tensor", compiled: "Tensor") -> str | None:
    """Where one is NaN or Inf and the other is not, or Inf of the other sign."""
    compiled = compiled.to(baseline.device)
    unlike = baseline.isnan() != compiled.isnan()
    unlike |= baseline.isposinf() != compiled.isposinf()
    unlike |= baseline.isneginf() != compiled.isneginf()
    count = int(unlike.sum())
    return f"NaN or Inf at other places than the baseline's: {count} of {unlike.numel()}" if count else None
