"""Lists of prompts: two formats, one order, and every mistake named with its line."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from nearlossless.cases.case import CaseError
from nearlossless.evaluation.prompts import HELD_OUT, PromptSet, read_prompts
from nearlossless.miniature.world import is_held_out


def read(tmp_path: Path, content: str | bytes, name: str = "p.jsonl") -> PromptSet:
    """The prompts of a file with this content."""
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_prompts(str(path), first_seed=100)


def test_json_lines_give_text_seed_and_line(tmp_path: Path) -> None:
    """A prompt has its own seed, or the first one and its place in the file; blank lines do not count."""
    found = read(tmp_path, '{"prompt": "a"}\n\n{"caption": "b", "seed": 7}\n{"prompt": "c"}\n')
    assert {(p.line, p.text, p.seed) for p in found} == {(1, "a", 100), (3, "b", 7), (4, "c", 102)}
    assert [p.number for p in found] == [0, 1, 2]


def test_mlperf_captions_are_read(tmp_path: Path) -> None:
    """The tab-separated captions of MLPerf's text-to-image benchmark, quotes and all."""
    text = 'id\timage_id\tcaption\theight\twidth\n5\t9\tA dog.\t10\t20\n6\t9\t"A ""big"" cat"\t10\t20\n'
    found = read(tmp_path, text + '7\t9\tThe 5" fish\t10\t20', "captions.tsv")
    assert {(p.line, p.text) for p in found} == {(2, "A dog."), (3, 'A "big" cat'), (4, 'The 5" fish')}


def test_mlperf_captions_of_two_pictures_may_be_the_same_words(tmp_path: Path) -> None:
    """MLPerf's list holds 28 captions twice, of other ids: each is drawn, from other initial latents."""
    text = "id\timage_id\tcaption\n5\t9\tA man on a surfboard.\n6\t8\tA man on a surfboard.\n"
    assert {p.seed for p in read(tmp_path, text, "captions.tsv")} == {100, 101}
    with pytest.raises(CaseError, match="line 3: the same prompt stands in line 2"):
        read(tmp_path, text.replace("6\t8", "5\t9"), "captions.tsv")


def test_order_of_drawing_is_not_that_of_the_file(tmp_path: Path) -> None:
    """Any prefix of a file sorted by kind is a sample of all kinds, and always the same one."""
    lines = [f'{{"prompt": "{kind} {number}", "seed": 1}}\n' for kind in "ab" for number in range(200)]
    found = read(tmp_path, "".join(lines))
    kinds = [p.text[0] for p in found]
    assert 70 <= kinds[:200].count("a") <= 130
    np.random.default_rng(3).shuffle(lines)
    assert [p.text for p in read(tmp_path, "".join(lines))] == [p.text for p in found]


def test_prompts_can_be_gone_through_again_meanwhile(tmp_path: Path) -> None:
    """Each time all are given in the same order, also while somebody is in the middle of them."""
    found = read(tmp_path, "".join(f'{{"prompt": "{number}"}}\n' for number in range(10)))
    started = iter(found)
    first = next(started)
    again = list(found)
    assert [first, *started] == again
    assert len(found) == len(again) == 10


def test_prompts_take_no_memory(tmp_path: Path) -> None:
    """20,000 prompts, 3 MB of text, grow Python's own memory by less than a tenth of that."""
    path = tmp_path / "p.jsonl"
    path.write_text("".join(f'{{"prompt": "{number} {"x" * 150}"}}\n' for number in range(20_000)), encoding="utf-8")
    tracemalloc.start()
    try:
        found = read_prompts(str(path), first_seed=0)
        count = sum(1 for _ in found)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == 20_000
    assert peak < 300_000


def test_hash_tells_one_changed_letter(tmp_path: Path) -> None:
    """Lists of the same prompts have the same hash, others have others."""
    first, same, other = (read(tmp_path, f'{{"prompt": "{text}"}}') for text in ("a", "a", "b"))
    assert first.sha256 == same.sha256 != other.sha256


def test_miniature_brings_a_thousand_captions() -> None:
    """They are all different, none was trained on, and they are the same at each call."""
    found = read_prompts(HELD_OUT, first_seed=0)
    assert len({p.text for p in found}) == len(found) == 1000
    assert all(is_held_out(p.text) for p in found)
    assert list(found) == list(read_prompts(HELD_OUT, first_seed=0))


def test_as_long_as_a_case_allows(tmp_path: Path) -> None:
    """2,000 characters are drawn."""
    assert len(read(tmp_path, f'{{"prompt": "{"a" * 2000}"}}')) == 1


def test_same_prompt_with_two_seeds_is_no_duplicate(tmp_path: Path) -> None:
    """Seeds of their own make two pictures of one prompt."""
    assert len(read(tmp_path, '{"prompt": "a", "seed": 1}\n{"prompt": "a", "seed": 2}')) == 2


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "has no prompt"),
        ('{"prompt": "a"}\n{"prompt": "  "}', "line 2: the prompt is empty"),
        ('{"prompt": "a"}\n{"prompt": "b"}\n{"prompt": "a"}', "line 3: the same prompt stands in line 1"),
        ('{"prompt": "a", "seed": 3}\n{"prompt": "a", "seed": 3}', "line 2: the same prompt stands in line 1"),
        (f'{{"prompt": "{"a" * 2001}"}}', "line 1: the prompt has 2001 characters, at most 2000"),
        ('{"text": "a"}', "line 1: has no text under 'prompt' or 'caption'"),
        ('{"prompt": 5}', "line 1: has no text"),
        ('{"prompt": "a"}\n["b"]', "line 2: is no JSON object"),
        ('{"prompt": "a"', "line 1: is no JSON"),
        ('{"prompt": "a", "seed": -1}', "a seed is a whole number"),
        ('{"prompt": "a", "seed": 1.5}', "a seed is a whole number"),
        ('{"prompt": "a", "seed": "x"}', "a seed is a whole number"),
        ('{"prompt": "a", "seed": 1e999}', "line 1: a seed is a whole number"),
        ('{"prompt": "a", "seed": true}', "a seed is a whole number"),
        ('{"prompt": "a", "seed": [1]}', "a seed is a whole number"),
        ('{"prompt": "a"}\n' + "[" * 200_000, "line 2: is no JSON"),
        (b'{"prompt": "a"}\n{"prompt": "\xff"}', "line 2: is not UTF-8"),
        ('{"prompt": "\\ud83d"}', "line 1: the prompt is not UTF-8"),
    ],
)
def test_what_cannot_be_drawn_is_named(tmp_path: Path, content: str | bytes, told: str) -> None:
    """A prompt that is empty, there twice, too long, not text or not UTF-8 stops the run before it starts."""
    with pytest.raises(CaseError, match=told):
        read(tmp_path, content)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("id\ttext\n1\ta\n", "has no column 'prompt' or 'caption'; it has: id, text"),
        ("id\tcaption\n1\ta\n2\n", "line 3: has not the 2 columns"),
        ("id\tcaption\n1\ta\tb\n", "line 2: has not the 2 columns"),
        ("", "has no column"),
        ("caption\na\n\nb\nb\n", "line 5: the same prompt stands in line 4"),
        ('id\tcaption\n1\tA dog\n2\t"A cat\n3\tA cow\n4\tA bird\n', "line 3: is not tab-separated"),
        ('id\tcaption\n1\t"A cat\n2\tA cow"\n', "line 2: is not tab-separated"),
        ('id\tcaption\n1\tA cow\n2\t"Big" cat\n', "line 3: is not tab-separated"),
    ],
)
def test_what_is_wrong_with_a_table_is_named(tmp_path: Path, content: str, told: str) -> None:
    """A missing column, rows with too few or too many, and quotes that would take other prompts along or be lost."""
    with pytest.raises(CaseError, match=told):
        read(tmp_path, content, "p.tsv")


def test_unknown_kinds_and_missing_files_are_named(tmp_path: Path) -> None:
    """The message says what is read, or that the file is not there."""
    with pytest.raises(CaseError, match=r"prompts are read from \.jsonl"):
        read(tmp_path, "a", "p.txt")
    with pytest.raises(CaseError, match="cannot be read"):
        read_prompts(str(tmp_path / "none.jsonl"), first_seed=0)
