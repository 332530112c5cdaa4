"""Comparing with what is stored: the accepted picture that fits best counts, and broken pictures are told."""

from pathlib import Path

import pytest
from PIL import Image, ImageFilter

from nearlossless.baselines.comparison import Comparison, compare_pictures, tripped
from nearlossless.baselines.expected import EXPECTED, alternative_path, read_picture, write_expected
from nearlossless.baselines.sidecars import read_sidecar
from nearlossless.cases.case import Case
from nearlossless.cases.thresholds import Thresholds
from nearlossless.environment import PictureIdentity
from nearlossless.gates import judge_quality
from nearlossless.metrics.pixels import Pixels
from nearlossless.metrics.structure import ssim
from nearlossless.miniature.world import draw, scene_at
from nearlossless.pipelines.requests import requests
from nearlossless.record.quality import ParityRecord, PictureRecord, ReplayRecord
from nearlossless.verdicts import Outcome

MAIN, MODE = draw(scene_at(0)), draw(scene_at(7))
LATENTS = {20: "a" * 64, 21: "b" * 64}


@pytest.fixture
def comparison(tmp_path: Path, miniature_case: Case, identity: PictureIdentity) -> Comparison:
    """One request, whose expected picture is stored."""
    generation = miniature_case.generation.model_copy(
        update={"prompts": miniature_case.generation.prompts[:1], "seeds": (20,)}
    )
    comparison = Comparison(
        case=miniature_case.model_copy(update={"generation": generation}),
        case_folder=tmp_path / "case",
        identity=identity,
        scorer=None,
        report_folder=tmp_path / "report",
        prefix="pictures",
        stack={"torch": "2.13"},
        latents_sha256=lambda request: LATENTS[request.seed],
    )
    store(comparison, MAIN, "the first mode")
    return comparison


def store(comparison: Comparison, picture: Image.Image, reason: str, number: int | None = None) -> None:
    """Accept a picture: the expected one, or an alternative."""
    request = requests(comparison.case.generation)[0]
    folder = comparison.case_folder / "cpu-avx2-float32" / EXPECTED
    written = write_expected(
        folder if number is None else comparison.case_folder / "elsewhere",
        comparison.case,
        request,
        picture,
        identity=comparison.identity,
        stack=comparison.stack,
        scores={},
        latents_sha256=comparison.latents_sha256(request),
    )
    sidecar = read_sidecar(written.with_suffix(".json")).accepted(reason, None)
    target = folder / written.name if number is None else alternative_path(folder / written.name, number)
    target.write_bytes(written.read_bytes())
    target.with_suffix(".json").write_text(sidecar.to_text(), encoding="utf-8")


def obtained(picture: Image.Image, comparison: Comparison) -> PictureRecord:
    """The record of a picture that was drawn."""
    (record,) = compare_pictures(None, lambda _: [picture], comparison)
    return record


def stored_check(record: PictureRecord, floor: float = 0.98) -> tuple[Outcome, str]:
    """Outcome and note of the comparison with what is stored."""
    thresholds = Thresholds.model_validate({"stored": {"min_ssim": floor}})
    verdict = judge_quality(
        [record], thresholds, ParityRecord(), ReplayRecord(), baseline_does_not_fit="no baseline here"
    )
    (check,) = [check for check in verdict.checks if check.name.startswith("stored")]
    return check.outcome, check.note


def test_second_mode_is_refused_until_it_is_accepted(comparison: Comparison) -> None:
    """A picture of another mode is a regression, and a pass once it is accepted, with its name and reason told."""
    assert stored_check(obtained(MODE, comparison))[0] is Outcome.REGRESSION
    store(comparison, MODE, "cuDNN's other kernel", 1)
    record = obtained(MODE, comparison)
    outcome, note = stored_check(record)
    assert outcome is Outcome.PASS
    assert record.stored_choice == note
    assert note.startswith("best of 2 accepted: ")
    assert ".alt1.png (cuDNN's other kernel)" in note


def test_expected_picture_is_named_where_it_fits_best(comparison: Comparison) -> None:
    """Beside an alternative the expected picture itself is chosen when it is nearest, and named as such."""
    store(comparison, MODE, "cuDNN's other kernel", 1)
    _, note = stored_check(obtained(MAIN, comparison))
    assert "(the first mode)" in note
    assert ".alt" not in note


def test_one_accepted_picture_needs_no_choice(comparison: Comparison) -> None:
    """Where one picture is accepted nothing is said of a choice."""
    record = obtained(MAIN, comparison)
    assert (record.stored_choice, stored_check(record)) == (None, (Outcome.PASS, ""))


def test_best_is_that_of_the_highest_worst_tile(comparison: Comparison) -> None:
    """Of three the one with the highest worst tile counts; score and file of the record are its own."""
    store(comparison, MODE, "another", 1)
    near = MAIN.filter(ImageFilter.GaussianBlur(0.6))
    store(comparison, near, "a little blurred", 4)
    drawn = MAIN.filter(ImageFilter.GaussianBlur(0.7))
    record = obtained(drawn, comparison)
    scores = [ssim(Pixels(drawn), Pixels(each)).worst_tile_ssim for each in (MAIN, MODE, near)]
    assert record.stored is not None
    assert record.stored.worst_tile_ssim == max(scores) == scores[2]
    assert "(a little blurred)" in str(record.stored_choice)
    assert record.expected_file is not None
    assert Image.open(comparison.report_folder / record.expected_file).tobytes() == near.tobytes()


def test_a_broken_picture_fits_no_alternative(comparison: Comparison) -> None:
    """Alternatives do not make a picture pass that is like none of them."""
    store(comparison, MODE, "another", 1)
    assert stored_check(obtained(draw(scene_at(3)), comparison))[0] is Outcome.REGRESSION


def test_seed_with_other_latents_is_not_comparable(comparison: Comparison, monkeypatch: pytest.MonkeyPatch) -> None:
    """When this torch makes other latents of the seed, the same picture even is not compared, and the reason told."""
    monkeypatch.setitem(LATENTS, 20, "c" * 64)
    outcome, note = stored_check(obtained(MAIN, comparison))
    assert outcome is Outcome.NOT_COMPARABLE
    assert "other initial latents" in note


def test_candidates_keep_their_latents_and_score(comparison: Comparison, tmp_path: Path) -> None:
    """A candidate's sidecar tells the hash of its initial latents and the score that it had."""
    updating = Comparison(
        case=comparison.case,
        case_folder=comparison.case_folder,
        identity=comparison.identity,
        scorer=lambda _picture, _prompt: 77.0,
        report_folder=comparison.report_folder,
        prefix="pictures",
        stack={},
        latents_sha256=comparison.latents_sha256,
        candidates=tmp_path / "candidates",
    )
    list(compare_pictures(lambda _: [MODE], lambda _: [MODE], updating))
    (path,) = updating.written
    sidecar = read_sidecar(path.with_suffix(".json"))
    assert (sidecar.latents_sha256, sidecar.scores) == ("a" * 64, {"clip": 77.0})
    assert read_picture(path, MODE.size, sidecar.sha256).tobytes() == MODE.tobytes()


@pytest.mark.parametrize("mode", ["RGBA", "L", "I;16"])
def test_drawn_picture_of_another_mode_is_told(comparison: Comparison, mode: str) -> None:
    """A pipeline that draws with alpha, in grey or in 16 bits is told, not converted in silence."""
    request = requests(comparison.case.generation)[0]
    picture = Image.new(mode, MAIN.size) if mode == "I;16" else MAIN.convert(mode)
    assert f"{mode} instead of RGB" in tripped(picture, MAIN, request)
    assert tripped(MAIN, MAIN, request) == []
