"""The judge, from its folder to its score."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from nearlossless.cases.case import CaseError
from nearlossless.metrics.clip import clip_reader, clip_scorer, judge_folder
from nearlossless.miniature import JUDGE
from nearlossless.miniature.world import draw, held_out_scenes


def test_judge_of_the_miniature_comes_with_the_package() -> None:
    """The miniature's own CLIP lies in the package."""
    assert judge_folder("miniature") == JUDGE


def test_judge_may_be_a_local_folder(tmp_path: Path) -> None:
    """Any local folder can be named."""
    assert judge_folder(str(tmp_path)) == tmp_path


def test_judge_that_is_no_folder_is_an_error() -> None:
    """A hub name is not silently downloaded."""
    with pytest.raises(CaseError, match="no local folder"):
        judge_folder("openai/clip-vit-base-patch16")


def test_judge_prefers_the_right_caption() -> None:
    """Pictures of captions that nobody trained on score higher with their own caption than with another's."""
    score, scenes = clip_scorer(JUDGE), held_out_scenes(12, seed=5)
    captions = [scene.caption for scene in scenes]
    wins = [
        score(draw(scene), captions[i]) > score(draw(scene), captions[(i + 1) % len(captions)])
        for i, scene in enumerate(scenes)
    ]
    assert sum(wins) >= 11


def test_score_repeats_and_lies_within_its_scale(picture: Image.Image) -> None:
    """The same picture and prompt give the same score, between 0 and 100."""
    score = clip_scorer(JUDGE)
    first = score(picture, "blue ring")
    assert 0 <= first <= 100
    assert score(picture, "blue ring") == first


@pytest.mark.parametrize("prompt", ["", "a castle by the sea at night, oil on canvas " * 20])
def test_any_prompt_can_be_scored(picture: Image.Image, prompt: str) -> None:
    """An empty prompt and one longer than the judge can read have a finite score."""
    assert 0 <= clip_scorer(JUDGE)(picture, prompt) <= 100


def test_prompt_is_encoded_once_for_its_pictures(picture: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pictures of one prompt share its encoding, and another prompt gets its own."""
    from transformers import CLIPModel

    encode, encoded = CLIPModel.get_text_features, list[int]()

    def counting(self: Any, *args: Any, **kwargs: Any) -> Any:
        encoded.append(1)
        return encode(self, *args, **kwargs)

    monkeypatch.setattr(CLIPModel, "get_text_features", counting)
    read, other = clip_reader.__wrapped__(JUDGE), picture.rotate(90)

    def score(shown: Image.Image, prompt: str) -> float:
        return float(read(shown, prompt).score)

    first = [score(picture, "blue ring"), score(other, "blue ring")]
    assert len(encoded) == 1
    assert score(picture, "red star") != first[0]
    assert [score(picture, "blue ring"), score(other, "blue ring")] == first
    assert len(encoded) == 3


def test_score_is_the_angle_between_the_embeddings(picture: Image.Image) -> None:
    """Embeddings have unit length, and a scene is nearer to itself in another size than to another scene."""
    scene, other = held_out_scenes(2, seed=5)
    read = clip_reader(JUDGE)
    first, again, foreign = (
        read(draw(scene), scene.caption),
        read(draw(scene, 120, 120), scene.caption),
        read(draw(other), other.caption),
    )
    assert abs(float(first.features @ first.features) - 1) < 1e-6
    assert float(first.features @ again.features) > float(first.features @ foreign.features)
