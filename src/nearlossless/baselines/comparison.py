"""Draw every picture of a case with both pipelines and compare it live and with what is stored, batch by batch."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from nearlossless.atomic import write_bytes
from nearlossless.baselines.expected import Expected, encode_png, load_expected, picture_name, write_expected
from nearlossless.baselines.sidecars import CLIP
from nearlossless.cases.case import Case
from nearlossless.environment import PictureIdentity
from nearlossless.metrics.clip import ClipScorer
from nearlossless.metrics.pixels import Pixels
from nearlossless.metrics.scores import Scores, compare
from nearlossless.metrics.structure import ssim
from nearlossless.metrics.tripwires import tripwires
from nearlossless.pipelines.requests import Batch, Request, batches
from nearlossless.record.quality import PictureRecord

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
    latents_sha256: Callable[[Request], str | None] = lambda _: None  # of the initial latents that its seed gives here
    candidates: Path | None = None  # where to write candidates for the expected pictures
    written: list[Path] = field(default_factory=list)


def compare_pictures(baseline: Draw | None, compiled: Draw, comparison: Comparison) -> Iterator[PictureRecord]:
    """One record a request; no picture is kept in memory after its batch. No baseline leaves the stored pictures."""
    for batch in batches(comparison.case.generation):
        # No name for the pictures here: it would keep them alive while the next batch is drawn.
        yield from _compare_batch(batch, baseline(batch) if baseline is not None else None, compiled(batch), comparison)


def _compare_batch(
    batch: Batch, live: "list[Image.Image] | None", obtained: "list[Image.Image]", comparison: Comparison
) -> Iterator[PictureRecord]:
    for number, request in enumerate(batch):
        expected = load_expected(
            comparison.case,
            comparison.case_folder,
            request,
            comparison.identity,
            latents_sha256=comparison.latents_sha256(request),
        )
        anchor = live[number] if live is not None else None
        yield _compare(request, anchor, obtained[number], expected, comparison)


def _compare(
    request: Request, live: "Image.Image | None", obtained: "Image.Image", expected: Expected, comparison: Comparison
) -> PictureRecord:
    record = PictureRecord(prompt=request.prompt, seed=request.seed, height=request.height, width=request.width)
    record.tripwires = tripped(obtained, live or expected.picture, request)
    record.obtained_file = _keep(obtained, "obtained", request, comparison)
    if comparison.scorer is not None:
        record.obtained_clip = comparison.scorer(obtained, request.prompt)
    pixels = Pixels(obtained)
    if live is not None:
        _compare_live(record, live, pixels, request, comparison)
    record.stored_problem, record.stored_foreign = expected.problem, expected.foreign
    if comparison.candidates is not None:
        record.stored_problem = _offer_candidate(live, request, record.baseline_clip, comparison)
    elif expected.problem is None:
        _compare_stored(record, expected, pixels, request, comparison)
    return record


def _compare_stored(
    record: PictureRecord, expected: Expected, obtained: Pixels, request: Request, comparison: Comparison
) -> None:
    """Compare with the accepted picture that fits best."""
    accepted = [each for each in (expected, *expected.alternatives) if each.picture is not None]
    chosen = max(accepted, key=lambda each: _worst_tile(obtained, each)) if len(accepted) > 1 else expected
    assert chosen.picture is not None
    assert chosen.sidecar is not None
    record.expected_file = _keep(chosen.picture, "expected", request, comparison)
    if comparison.scorer is not None:  # by the present judge: the sidecar's score is only history
        record.stored_clip = comparison.scorer(chosen.picture, request.prompt)
    if (obtained.width, obtained.height) == chosen.picture.size:
        record.stored = compare(obtained, Pixels(chosen.picture))
    if len(accepted) > 1:
        reason = chosen.sidecar.accepted_because or "no reason given"
        record.stored_choice = f"best of {len(accepted)} accepted: {chosen.path.name} ({reason})"


def _worst_tile(obtained: Pixels, accepted: Expected) -> float:
    """SSIM of the worst tile; lowest where there is none."""
    if accepted.picture is None or (obtained.width, obtained.height) != accepted.picture.size:
        return -math.inf
    similarity = ssim(obtained, Pixels(accepted.picture)).worst_tile_ssim
    return -math.inf if math.isnan(similarity) else similarity


def _compare_live(
    record: PictureRecord, live: "Image.Image", obtained: Pixels, request: Request, comparison: Comparison
) -> None:
    record.baseline_file = _keep(live, "baseline", request, comparison)
    if comparison.scorer is not None:
        record.baseline_clip = comparison.scorer(live, request.prompt)
    if (obtained.width, obtained.height) == live.size:
        record.live = compare(obtained, Pixels(live))


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
        scores={} if clip_score is None else {CLIP: clip_score},
        latents_sha256=comparison.latents_sha256(request),
    )
    comparison.written.append(path)


def tripped(obtained: "Image.Image", anchor: "Image.Image | None", request: Request) -> list[str]:
    """Tripwires that the baseline's own picture, live or stored, does not trip, and a wrong size or mode."""
    allowed = tripwires(anchor) if anchor is not None else []
    tripped = [name for name in tripwires(obtained) if name not in allowed]
    if obtained.size != (request.width, request.height):
        tripped.append(f"{obtained.width}x{obtained.height} instead of {request.width}x{request.height}")
    if obtained.mode != "RGB":
        tripped.append(f"{obtained.mode} instead of RGB")
    return tripped


def batch_tripped(
    obtained: Sequence["Image.Image"], live: Sequence["Image.Image"] | None, batch: Sequence[Request]
) -> list[str]:
    """What any picture of a batch trips, each once."""
    pictures = zip(obtained, live if live is not None else [None] * len(batch), batch, strict=True)
    return list(dict.fromkeys(name for mine, theirs, request in pictures for name in tripped(mine, theirs, request)))


def batch_scores(obtained: Sequence["Image.Image"], live: Sequence["Image.Image"]) -> list[Scores]:
    """Every score of each picture of a batch; none where sizes differ."""
    pairs = list(zip(obtained, live, strict=True))
    if any(mine.size != theirs.size for mine, theirs in pairs):
        return []
    return [compare(Pixels(mine), Pixels(theirs)) for mine, theirs in pairs]


def batch_ssim(obtained: Sequence["Image.Image"], live: Sequence["Image.Image"] | None) -> float | None:
    """The worst tile among all pictures of a batch; None where sizes differ or there is no baseline."""
    if live is None:
        return None
    pairs = list(zip(obtained, live, strict=True))
    if any(mine.size != theirs.size for mine, theirs in pairs):
        return None
    return min(ssim(Pixels(mine), Pixels(theirs)).worst_tile_ssim for mine, theirs in pairs)


def _keep(picture: "Image.Image", kind: str, request: Request, comparison: Comparison) -> str:
    name = f"{comparison.prefix}/{picture_name(request)}.{kind}.png"
    write_bytes(comparison.report_folder / name, encode_png(picture))
    return name
