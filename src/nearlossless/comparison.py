"""Draw every picture of a case with both pipelines and compare it live and with what is stored, one at a time."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from nearlossless.atomic import write_bytes
from nearlossless.baselines import Expected, encode_png, load_expected, picture_name, write_expected
from nearlossless.cases import Case
from nearlossless.environment import PictureIdentity
from nearlossless.pipelines.requests import Request, requests
from nearlossless.quality import ClipScorer, ssim, tripwires
from nearlossless.record import PictureRecord

if TYPE_CHECKING:
    from PIL import Image

Draw = Callable[[Request], "Image.Image"]


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


def compare_pictures(baseline: Draw | None, compiled: Draw, comparison: Comparison) -> Iterator[PictureRecord]:
    """One record a request; no picture is kept in memory after its record. No baseline leaves the stored pictures."""
    for request in requests(comparison.case.generation):
        expected = load_expected(comparison.case, comparison.case_folder, request, comparison.identity)
        live = baseline(request) if baseline is not None else None
        yield _compare(request, live, compiled(request), expected, comparison)


def _compare(
    request: Request, live: "Image.Image | None", obtained: "Image.Image", expected: Expected, comparison: Comparison
) -> PictureRecord:
    record = PictureRecord(prompt=request.prompt, seed=request.seed, height=request.height, width=request.width)
    record.tripwires = tripped(obtained, live or expected.picture, request)
    record.obtained_file = _keep(obtained, "obtained", request, comparison)
    if comparison.scorer is not None:
        record.obtained_clip = comparison.scorer(obtained, request.prompt)
    if live is not None:
        _compare_live(record, live, obtained, request, comparison)
    record.stored_problem, record.stored_foreign = expected.problem, expected.foreign
    if comparison.candidates is not None:
        record.stored_problem = _offer_candidate(live, request, record.baseline_clip, comparison)
    elif expected.picture is not None and expected.sidecar is not None:
        record.expected_file = _keep(expected.picture, "expected", request, comparison)
        if comparison.scorer is not None:  # by the present judge: the sidecar's score is only history
            record.stored_clip = comparison.scorer(expected.picture, request.prompt)
        if obtained.size == expected.picture.size:
            record.stored_worst_tile_ssim = ssim(obtained, expected.picture).worst_tile_ssim
    return record


def _compare_live(
    record: PictureRecord, live: "Image.Image", obtained: "Image.Image", request: Request, comparison: Comparison
) -> None:
    record.baseline_file = _keep(live, "baseline", request, comparison)
    if comparison.scorer is not None:
        record.baseline_clip = comparison.scorer(live, request.prompt)
    if obtained.size == live.size:
        similarity = ssim(obtained, live)
        record.live_mean_ssim = similarity.mean_ssim
        record.live_worst_tile_ssim = similarity.worst_tile_ssim
        record.live_worst_tile_xywh = similarity.worst_tile_xywh


def _offer_candidate(
    live: "Image.Image | None", request: Request, clip_score: float | None, comparison: Comparison
) -> str:
    """Write the baseline's picture as a candidate if it has a sound one; what became of it, in words."""
    if live is None:
        return "the baseline does not fit here: no candidate was written, draw them where it fits"
    if tripwires(live):
        return f"the baseline's own picture is {', '.join(tripwires(live))}: no candidate was written"
    _write_candidate(live, request, clip_score, comparison)
    return "a candidate was written for the expected picture, nothing was verified"


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


def tripped(obtained: "Image.Image", anchor: "Image.Image | None", request: Request) -> list[str]:
    """Tripwires that the baseline's own picture, live or stored, does not trip, and a wrong size."""
    allowed = tripwires(anchor) if anchor is not None else []
    tripped = [name for name in tripwires(obtained) if name not in allowed]
    if obtained.size != (request.width, request.height):
        tripped.append(f"{obtained.width}x{obtained.height} instead of {request.width}x{request.height}")
    return tripped


def _keep(picture: "Image.Image", kind: str, request: Request, comparison: Comparison) -> str:
    name = f"{comparison.prefix}/{picture_name(request)}.{kind}.png"
    write_bytes(comparison.report_folder / name, encode_png(picture))
    return name
