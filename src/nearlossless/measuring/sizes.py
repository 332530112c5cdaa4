"""What each size compiles and draws after warm-up."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nearlossless.backends import BackendError
from nearlossless.cases import Case
from nearlossless.comparison import batch_ssim, batch_tripped
from nearlossless.measuring import baseline_drawer
from nearlossless.pipelines.drawing import draw_batch
from nearlossless.pipelines.requests import Batch, size_batches
from nearlossless.progress import Progress
from nearlossless.record.shapes import SizeRecord
from nearlossless.selection import Subject
from nearlossless.shapes import counted_compiles, warmup_sizes
from nearlossless.timing import synchronizer, timed

if TYPE_CHECKING:
    from PIL import Image


def cycle_sizes(baseline: Any | None, compiled: Any, subject: Subject, progress: Progress) -> list[SizeRecord]:
    """
    Warm up, then draw a batch at every size and count what each compiles; a size that fails does not end the cycle.

    Without a baseline no picture is compared; tripwires and wrong sizes are still found.
    """
    generation, synchronize = subject.case.generation, synchronizer(subject.device)
    all_batches = size_batches(generation)
    sizes = []
    with progress.phase("shapes: warm-up"):
        for size in warmup_sizes(generation.sizes):
            draw_batch(compiled, generation, all_batches[generation.sizes.index(size)])
    with progress.phase(f"shapes: 0 of {len(all_batches)} sizes"):
        for number, batch in enumerate(all_batches, 1):
            sizes.append(_draw_at_size(baseline, compiled, subject.case, batch, synchronize))
            progress.step("shapes: sizes", number, len(all_batches))
    return sizes


def _draw_at_size(
    baseline: Any | None, compiled: Any, case: Case, batch: Batch, synchronize: Callable[[], None]
) -> SizeRecord:
    live = baseline_drawer(baseline, case)(batch) if baseline is not None else None
    obtained: list[Image.Image] = []
    size = SizeRecord(height=batch[0].height, width=batch[0].width, compiles=0, latency_s=0.0)

    def once() -> None:
        obtained.extend(draw_batch(compiled, case.generation, batch))

    with counted_compiles() as compiles:
        try:
            size.latency_s = timed(once, synchronize=synchronize)
        except BackendError as error:
            size.problems.append(str(error))
    size.compiles = compiles.total
    if obtained:
        size.problems += batch_tripped(obtained, live, batch)
        size.live_worst_tile_ssim = batch_ssim(obtained, live)
    return size
