"""Sidecars: both versions are read, and what a picture replaced is kept."""

import json
from pathlib import Path

import pytest

from nearlossless.baselines.expected import EXPECTED, load_expected, write_expected
from nearlossless.baselines.sidecars import Former, Sidecar, read_sidecar
from nearlossless.cases.case import Case
from nearlossless.environment import PictureIdentity
from nearlossless.miniature.world import draw, scene_at
from nearlossless.pipelines.requests import requests


@pytest.fixture
def path(tmp_path: Path, miniature_case: Case, identity: PictureIdentity) -> Path:
    """The sidecar of one picture."""
    picture = write_expected(
        tmp_path / "cpu-avx2-float32" / EXPECTED,
        miniature_case,
        requests(miniature_case.generation)[0],
        draw(scene_at(0)),
        identity=identity,
        stack={"torch": "2.13.0"},
        scores={"clip": 91.5, "other": 0.25},
        latents_sha256="a" * 64,
    )
    return picture.with_suffix(".json")


def as_version_1(path: Path, **changes: object) -> None:
    """Write a sidecar as the first version had it."""
    content = json.loads(path.read_text(encoding="utf-8"))
    for key in ("scores", "latents_sha256", "former"):
        del content[key]
    path.write_text(json.dumps(content | {"schema_version": 1, "clip_score": 91.5} | changes), encoding="utf-8")


def test_new_sidecars_are_of_version_2(path: Path) -> None:
    """What is written now says so, with all scores and the hash of the initial latents."""
    content = json.loads(path.read_text(encoding="utf-8"))
    assert (content["schema_version"], content["scores"]) == (2, {"clip": 91.5, "other": 0.25})
    assert content["latents_sha256"] == "a" * 64


def test_version_1_is_read(path: Path) -> None:
    """A file of the first version keeps its CLIP score and reason, and tells no latents."""
    as_version_1(path, accepted_because="first pictures")
    sidecar = read_sidecar(path)
    assert (sidecar.scores, sidecar.clip_score, sidecar.accepted_because) == ({"clip": 91.5}, 91.5, "first pictures")
    assert (sidecar.latents_sha256, sidecar.former) == (None, None)


def test_version_1_without_a_score_is_read(path: Path) -> None:
    """A picture without a judge has no score."""
    as_version_1(path, clip_score=None)
    assert read_sidecar(path).scores == {}


@pytest.mark.parametrize("change", [{"scores": {}}, {"latents_sha256": None}, {"former": None}, {"comment": "x"}])
def test_mixed_versions_are_refused(path: Path, change: dict[str, object]) -> None:
    """A key of the second version in a file of the first is none that belongs there."""
    as_version_1(path, **change)
    with pytest.raises(ValueError, match=r"schema_version|comment"):
        read_sidecar(path)


def test_score_of_version_1_is_unknown_to_version_2(path: Path) -> None:
    """The former key for the CLIP score is not silently ignored."""
    content = json.loads(path.read_text(encoding="utf-8")) | {"clip_score": 1.0}
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ValueError, match="clip_score"):
        read_sidecar(path)


def test_shipped_pictures_are_valid(shipped_baselines: Path, miniature_case: Case) -> None:
    """Every expected picture of the miniature that comes with the repository can be compared."""
    paths = sorted((shipped_baselines / "miniature").glob("*/expected/*.json"))
    assert paths
    for path in paths:
        sidecar = read_sidecar(path)
        expected = load_expected(miniature_case, shipped_baselines / "miniature", sidecar.request, sidecar.identity)
        assert expected.problem is None


def test_replaced_picture_is_remembered(path: Path) -> None:
    """An accepted picture keeps hash, scores and reason of the one before it, and only of that one."""
    first = read_sidecar(path).accepted(" first ", None)
    second = first.model_copy(update={"sha256": "b" * 64}).accepted("second", first)
    third = second.model_copy(update={"sha256": "c" * 64}).accepted("third", second)
    assert (first.accepted_because, first.former) == ("first", None)
    assert second.former == Former(sha256=first.sha256, scores=first.scores, accepted_because="first")
    assert third.former == Former(sha256="b" * 64, scores=first.scores, accepted_because="second")
    assert Sidecar.model_validate_json(third.to_text()) == third


def test_same_picture_replaces_nothing(path: Path) -> None:
    """Accepting the same picture again leaves what is known of the one before it."""
    first = read_sidecar(path).accepted("first", None)
    second = first.model_copy(update={"sha256": "b" * 64}).accepted("second", first)
    assert second.accepted("again", second).former == second.former
