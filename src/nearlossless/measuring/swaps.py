"""Swaps of a case's LoRAs between calls: what they compile, and whether both pipelines draw what they should."""

from functools import partial
from typing import TYPE_CHECKING, Any

from nearlossless.backends import BackendError
from nearlossless.baselines.comparison import batch_ssim, batch_tripped
from nearlossless.cases.case import Lora
from nearlossless.measuring import BaselineError, baseline_drawer, drawer
from nearlossless.pipelines.loras import swap_lora
from nearlossless.pipelines.requests import size_batches
from nearlossless.progress import Progress
from nearlossless.record.shapes import SwapRecord
from nearlossless.runs.selection import Subject
from nearlossless.shapes.counting import counted_compiles, warmup_sizes

if TYPE_CHECKING:
    from PIL import Image


def swap_loras(baseline: Any | None, compiled: Any, subject: Subject, progress: Progress) -> list[SwapRecord]:
    """
    Swap to each other LoRA of the case and at last back to the first, and draw with both pipelines after each swap.

    Without a baseline no picture is compared; a swap that changes nothing is still found.

    Both may share their weights. The compiled one is swapped and draws first, so that a swap that does not reach it
    is not made up for by the baseline's.

    Args:
        baseline: Drew with the first LoRA.
        compiled: Compiled with the first LoRA, and warm at the case's sizes.
        subject: Names case and device.
        progress: Told when the swaps begin.

    Returns:
        One record a swap; none where the case has fewer than two LoRAs.

    Raises:
        BaselineError: The baseline takes no LoRA, or does not draw with it.
    """
    case, swaps = subject.case, list[SwapRecord]()
    if len(case.model.loras) < 2:
        return swaps
    first, *others = case.model.loras
    sizes = case.generation.sizes
    batch = size_batches(case.generation)[sizes.index(warmup_sizes(sizes)[0])]
    draw_compiled = partial(drawer(compiled, case), batch)
    with progress.phase("shapes: swap LoRAs"):
        live, obtained = baseline_drawer(baseline, case)(batch) if baseline is not None else None, draw_compiled()
        for lora in (*others, first):
            live_before, obtained_before = live, obtained
            swap = SwapRecord(lora=_label(lora), compiles=0)
            with counted_compiles() as compiles:
                try:
                    swap_lora(compiled, lora)
                    obtained = draw_compiled()
                except BackendError as error:
                    swap.problems.append(str(error))
            swap.compiles = compiles.total
            if baseline is not None:
                _swap_baseline(baseline, lora)
                live = baseline_drawer(baseline, case)(batch)
                swap.baseline_change_ssim = batch_ssim(live, live_before)
            if not swap.problems:
                swap.problems += batch_tripped(obtained, live, batch)
                swap.live_worst_tile_ssim = batch_ssim(obtained, live)
            if not swap.problems and _same_bits(obtained, obtained_before):
                swap.problems.append("draws the same picture as before the swap")
            swaps.append(swap)
    return swaps


def _swap_baseline(baseline: Any, lora: Lora) -> None:
    try:
        swap_lora(baseline, lora)
    except BackendError as error:
        raise BaselineError(f"the baseline does not take a LoRA: {error}") from error


def _label(lora: Lora) -> str:
    return f"{lora.file} at scale {lora.scale:g}"


def _same_bits(a: "list[Image.Image]", b: "list[Image.Image]") -> bool:
    return [picture.tobytes() for picture in a] == [picture.tobytes() for picture in b]
