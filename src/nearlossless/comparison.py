"""Draw every picture of a case with both pipelines and compare it live and with what is stored, batch by batch."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from nearlossless.atomic import write_bytes
from nearlossless.baselines import Expected, encode_png, load_expected, picture_name, write_expected
from nearlossless.cases import Case
from nearlossless.environment import PictureIdentity
from nearlossless.pipelines.requests import Batch, Request, batches
from nearlossless.quality import ClipScorer, ssim, tripwires
from nearlossless.record import PictureRecord

if TYPE_CHECKING:
    from PIL import Image

Draw = Callable[[Sequence[Request]], "list[Image.Image]"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What pictures are compared with, and where the drawn ones are kept."""

    case: Case
    case_folder: Path
    identity: PictureIdentity
    scorer: ClipScorer | None
    report_folder: Path
    prefix: str  # folder of this subject's pictures inside the report folder
    stack: dict[str, str]
    candidates: Path | None = None  # where to write candidates for the expected pictures
    written: list[Path] = field(default_factory=list)


def compare_pictures(baseline: Draw, compiled: Draw, comparison: Comparison) -> Iterator[PictureRecord]:
    """One record a request; no picture is kept in memory after its batch."""
    for batch in batches(comparison.case.generation):
        yield from _compare_batch(batch, baseline(batch), compiled(batch), comparison)


def _compare_batch(
    batch: Batch, live: "list[Image.Image]", obtained: "list[Image.Image]", comparison: Comparison
) -> Iterator[PictureRecord]:
    for number, request in enumerate(batch):
        expected = load_expected(comparison.case, comparison.case_folder, request, comparison.identity)
        yield _compare(request, live[number], obtained[number], expected, comparison)


def _compare(
    request: Request, live: "Image.Image", obtained: "Image.Image", expected: Expected, comparison: Comparison
) -> PictureRecord:
    record = PictureRecord(prompt=request.prompt, seed=request.seed, height=request.height, width=request.width)
    record.tripwires = tripped(obtained, live, request)
    record.baseline_file = _keep(live, "baseline", request, comparison)
    record.obtained_file = _keep(obtained, "obtained", request, comparison)
    if comparison.scorer is not None:
        record.baseline_clip = comparison.scorer(live, request.prompt)
        record.obtained_clip = comparison.scorer(obtained, request.prompt)
    if obtained.size == live.size:
        similarity = ssim(obtained, live)
        record.live_mean_ssim = similarity.mean_ssim
        record.live_worst_tile_ssim = similarity.worst_tile_ssim
        record.live_worst_tile_xywh = similarity.worst_tile_xywh
    record.stored_problem, record.stored_foreign = expected.problem, expected.foreign
    if comparison.candidates is not None and tripwires(live):
        record.stored_problem = f"the baseline's own picture is {', '.join(tripwires(live))}: no candidate was written"
    elif comparison.candidates is not None:
        _write_candidate(live, request, record.baseline_clip, comparison)
        record.stored_problem = "a candidate was written for the expected picture, nothing was verified"
    elif expected.picture is not None and expected.sidecar is not None:
        record.expected_file = _keep(expected.picture, "expected", request, comparison)
        if comparison.scorer is not None:  # by the present judge: the sidecar's score is only history
            record.stored_clip = comparison.scorer(expected.picture, request.prompt)
        if obtained.size == expected.picture.size:
            record.stored_worst_tile_ssim = ssim(obtained, expected.picture).worst_tile_ssim
    return record


def _write_candidate(live: "Image.Image", request: Request, clip_score: float | None, comparison: Comparison) -> None:
    assert comparison.candidates is not None
    path = write_expected(
        comparison.candidates,
        comparison.case,
        request,
        live,
        identity=comparison.identity,
        stack=comparison.stack,
        clip_score=clip_score,
    )
    comparison.written.append(path)


def tripped(obtained: "Image.Image", live: "Image.Image", request: Request) -> list[str]:
    """Tripwires that the baseline's own picture does not trip, and a wrong size."""
    allowed = tripwires(live)
    tripped = [name for name in tripwires(obtained) if name not in allowed]
    if obtained.size != (request.width, request.height):
        tripped.append(f"{obtained.width}x{obtained.height} instead of {request.width}x{request.height}")
    return tripped


def batch_tripped(
    obtained: Sequence["Image.Image"], live: Sequence["Image.Image"], batch: Sequence[Request]
) -> list[str]:
    """What any picture of a batch trips, each once."""
    pictures = zip(obtained, live, batch, strict=True)
    return list(dict.fromkeys(name for mine, theirs, request in pictures for name in tripped(mine, theirs, request)))


def batch_ssim(obtained: Sequence["Image.Image"], live: Sequence["Image.Image"]) -> float | None:
    """The worst tile among all pictures of a batch; None where sizes differ."""
    pairs = list(zip(obtained, live, strict=True))
    if any(mine.size != theirs.size for mine, theirs in pairs):
        return None
    return min(ssim(mine, theirs).worst_tile_ssim for mine, theirs in pairs)


def _keep(picture: "Image.Image", kind: str, request: Request, comparison: Comparison) -> str:
    name = f"{comparison.prefix}/{picture_name(request)}.{kind}.png"
    write_bytes(comparison.report_folder / name, encode_png(picture))
    return name
