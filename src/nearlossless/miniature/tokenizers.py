"""
Tokenizers of the miniature: one token a word of the drawn world, single characters for anything else.

They are written as the files that CLIP's and T5's own tokenizer classes read, so that the pipeline loads
them as it loads any others. Text tokens cost as much as picture tokens: both are short.
"""

import itertools
import json
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nearlossless.miniature.world import BACKGROUND_COLOURS, COLOURS, PATTERNS, POSITIONS, RELATIONS, SHAPES, SIZES

MAX_LENGTH = 16  # the longest caption has 11 words; CLIP adds a start and an end

CLIP_START, CLIP_END = "<|startoftext|>", "<|endoftext|>"
CLIP_CONFIG = {
    "tokenizer_class": "CLIPTokenizer",
    "bos_token": CLIP_START,
    "eos_token": CLIP_END,
    "unk_token": CLIP_END,
    "pad_token": CLIP_END,
    "model_max_length": MAX_LENGTH,
    "do_lower_case": True,
}
T5_CONFIG = {
    "tokenizer_class": "T5TokenizerFast",
    "eos_token": "</s>",
    "unk_token": "<unk>",
    "pad_token": "<pad>",
    "model_max_length": MAX_LENGTH,
    "extra_ids": 0,
}
_WORD_SCORE, _CHARACTER_SCORE = -3.0, -12.0


def words() -> list[str]:
    """Every word that a caption can hold, in alphabetical order."""
    phrases = [*SHAPES, *COLOURS, *BACKGROUND_COLOURS, *PATTERNS, *POSITIONS, *RELATIONS, *SIZES, "on a background"]
    return sorted({word for phrase in phrases for word in phrase.split()})


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def write_clip_tokenizer(folder: Path) -> None:
    """Write `vocab.json`, `merges.txt` and the configuration of a CLIP tokenizer."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=10_000, min_frequency=1, initial_alphabet=alphabet, end_of_word_suffix="</w>", show_progress=False
    )

    def single_characters_then_words() -> Iterator[str]:
        yield from alphabet  # each character as the end of a word, too
        yield from itertools.chain.from_iterable([word] * 10 for word in words())

    tokenizer.train_from_iterator(single_characters_then_words(), trainer)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.model.save(str(folder))
    vocabulary = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    ordered = [*sorted(vocabulary, key=vocabulary.__getitem__), CLIP_START, CLIP_END]
    _write_json(folder / "vocab.json", {token: index for index, token in enumerate(ordered)})
    _write_json(folder / "tokenizer_config.json", CLIP_CONFIG)


def write_t5_tokenizer(folder: Path) -> None:
    """Write `tokenizer.json` and the configuration of a T5 (Unigram) tokenizer."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    specials = [(token, 0.0) for token in ("<pad>", "</s>", "<unk>")]
    pieces = [(f"▁{word}", _WORD_SCORE) for word in words()]
    characters = [(character, _CHARACTER_SCORE) for character in ("▁", *sorted(set(string.printable.strip())))]
    tokenizer = Tokenizer(models.Unigram([*specials, *pieces, *characters], unk_id=2))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer.add_special_tokens([token for token, _ in specials])
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    _write_json(folder / "tokenizer_config.json", T5_CONFIG)
