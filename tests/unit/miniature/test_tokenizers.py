"""The miniature's tokenizers: one token a word, characters for the rest."""

import json
from pathlib import Path
from typing import Any

import pytest

from nearlossless.miniature import PIPELINE
from nearlossless.miniature.tokenizers import (
    CLIP_END,
    CLIP_START,
    MAX_LENGTH,
    words,
    write_clip_tokenizer,
    write_t5_tokenizer,
)
from nearlossless.miniature.world import scene_at


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A CLIP tokenizer, written and read back by transformers."""
    from transformers import CLIPTokenizer

    folder = tmp_path_factory.mktemp("clip")
    write_clip_tokenizer(folder)
    return CLIPTokenizer.from_pretrained(folder, local_files_only=True)


@pytest.fixture(scope="module")
def t5(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A T5 tokenizer, written and read back by transformers."""
    from transformers import T5TokenizerFast

    folder = tmp_path_factory.mktemp("t5")
    write_t5_tokenizer(folder)
    return T5TokenizerFast.from_pretrained(folder, local_files_only=True)


def test_words_are_those_of_captions() -> None:
    """Every word of any caption is in the list, once, in order."""
    listed = words()
    assert listed == sorted(set(listed))
    assert {word for index in range(300) for word in scene_at(index).caption.split()} <= set(listed)


def test_clip_has_one_token_a_word(clip: Any) -> None:
    """A caption becomes a start, one token for each word, and an end."""
    for index in range(30):
        caption = scene_at(index).caption
        tokens = clip(caption)["input_ids"]
        assert len(tokens) == len(caption.split()) + 2
        assert clip.convert_ids_to_tokens([tokens[0], tokens[-1]]) == [CLIP_START, CLIP_END]


def test_t5_has_one_token_a_word(t5: Any) -> None:
    """A caption becomes one token for each word, and an end."""
    for index in range(30):
        caption = scene_at(index).caption
        assert len(t5(caption)["input_ids"]) == len(caption.split()) + 1


def test_captions_fit(clip: Any) -> None:
    """No caption is cut."""
    assert max(len(clip(scene_at(index).caption)["input_ids"]) for index in range(300)) <= MAX_LENGTH


def test_tokens_tell_words_apart(clip: Any, t5: Any) -> None:
    """No two words have the same tokens."""
    for tokenizer in (clip, t5):
        assert len({tuple(tokenizer(word)["input_ids"]) for word in words()}) == len(words())


def test_other_text_falls_apart_into_characters(clip: Any, t5: Any) -> None:
    """A word that the world does not know has tokens of its own, so that other prompts can be drawn."""
    for tokenizer in (clip, t5):
        castle, castles = tokenizer("castle")["input_ids"], tokenizer("castles")["input_ids"]
        assert len(castle) > 3
        assert castle != castles


def _tokens(content: Any) -> set[str]:
    """All tokens of a vocabulary; their order is the trainer's and no two runs share it."""
    if "model" in content:
        return {piece for piece, _ in content["model"]["vocab"]}
    return set(content)


@pytest.mark.parametrize(
    ("folder", "file"), [("tokenizer", "vocab.json"), ("tokenizer_2", "vocab.json"), ("tokenizer_3", "tokenizer.json")]
)
def test_shipped_tokenizers_are_what_is_written(tmp_path: Path, folder: str, file: str) -> None:
    """The tokenizers inside the package know the same tokens as those that this code writes."""
    (write_t5_tokenizer if folder == "tokenizer_3" else write_clip_tokenizer)(tmp_path)
    written, shipped = (json.loads((at / file).read_text(encoding="utf-8")) for at in (tmp_path, PIPELINE / folder))
    assert _tokens(written) == _tokens(shipped)
