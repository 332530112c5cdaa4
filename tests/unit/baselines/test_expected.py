"""Stored expected pictures: nothing is believed before it is checked."""

import hashlib
import io
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from nearlossless.baselines.expected import (
    Expected,
    alternative_path,
    encode_png,
    expected_folder,
    load_expected,
    picture_name,
    read_picture,
    write_expected,
)
from nearlossless.baselines.sidecars import read_sidecar
from nearlossless.cases.case import Case
from nearlossless.environment import PictureIdentity
from nearlossless.miniature.world import draw, scene_at
from nearlossless.pipelines.requests import Request, requests


class Store:
    """A case folder with expected pictures of all requests of a case."""

    def __init__(self, folder: Path, case: Case, identity: PictureIdentity) -> None:
        self.folder, self.case, self.identity = folder, case, identity
        self.requests = requests(case.generation)
        self.expected = expected_folder(folder, identity)
        for index, request in enumerate(self.requests[:2]):
            write_expected(
                self.expected,
                case,
                request,
                draw(scene_at(index)),
                identity=identity,
                stack={"torch": "2.13"},
                scores={"clip": 25.0},
            )

    def path(self, index: int = 0, suffix: str = ".png") -> Path:
        """File of one picture."""
        return self.expected / f"{picture_name(self.requests[index])}{suffix}"

    def load(self, index: int = 0, identity: PictureIdentity | None = None) -> Expected:
        """What the library makes of one picture."""
        return load_expected(self.case, self.folder, self.requests[index], identity or self.identity)

    def change_sidecar(self, **changes: Any) -> None:
        """Put other values into the first sidecar."""
        path = self.path(suffix=".json")
        content = json.loads(path.read_text(encoding="utf-8")) | changes
        path.write_text(json.dumps(content), encoding="utf-8")

    def replace_picture(self, content: bytes) -> None:
        """Put another file in the first picture's place, with a sidecar that agrees about its hash."""
        self.path().write_bytes(content)
        self.change_sidecar(sha256=hashlib.sha256(content).hexdigest())


@pytest.fixture
def store(tmp_path: Path, miniature_case: Case, identity: PictureIdentity) -> Store:
    """Two stored pictures of the miniature's case."""
    return Store(tmp_path / "miniature", miniature_case, identity)


def png(mode: str, size: tuple[int, int]) -> bytes:
    """A picture of one colour."""
    buffer = io.BytesIO()
    Image.new(mode, size).save(buffer, format="PNG")
    return buffer.getvalue()


def is_refused(expected: Expected) -> bool:
    """Whether nothing of the picture is handed on, with a reason."""
    return expected.picture is None and expected.sidecar is None and bool(expected.problem)


def test_stored_picture_comes_back_bit_for_bit(store: Store) -> None:
    """What was written is what is loaded, without a problem."""
    expected = store.load()
    assert (expected.problem, expected.foreign) == (None, [])
    assert expected.picture is not None
    assert expected.picture.tobytes() == draw(scene_at(0)).tobytes()


def test_missing_picture_says_how_to_draw_one(store: Store) -> None:
    """A picture that nobody stored is a problem that names the option."""
    expected = store.load(2)
    assert is_refused(expected)
    assert "--update-baselines" in str(expected.problem)


@pytest.mark.parametrize("suffix", [".png", ".json"])
def test_half_of_a_baseline_is_none(store: Store, suffix: str) -> None:
    """A picture without its sidecar is refused, and so is a sidecar without its picture."""
    store.path(suffix=suffix).unlink()
    assert is_refused(store.load())


def test_truncated_picture_is_refused(store: Store) -> None:
    """A picture that was cut short does not match its hash."""
    store.path().write_bytes(store.path().read_bytes()[:-20])
    assert is_refused(store.load())


def test_swapped_pictures_are_refused(store: Store) -> None:
    """Two pictures that were exchanged, sidecars left in place, are both refused."""
    first, second = store.path(0).read_bytes(), store.path(1).read_bytes()
    store.path(0).write_bytes(second)
    store.path(1).write_bytes(first)
    assert is_refused(store.load(0))
    assert is_refused(store.load(1))


def test_swapped_pairs_are_refused(store: Store) -> None:
    """Two pictures that were exchanged together with their sidecars are refused: the prompt or seed is another."""
    for suffix in (".png", ".json"):
        first, second = store.path(0, suffix).read_bytes(), store.path(1, suffix).read_bytes()
        store.path(0, suffix).write_bytes(second)
        store.path(1, suffix).write_bytes(first)
    assert is_refused(store.load(0))
    assert is_refused(store.load(1))


@pytest.mark.parametrize(
    "change",
    [{"prompt": "another"}, {"seed": 99}, {"height": 64}, {"width": 64}, {"steps": 27}, {"guidance_scale": 3.6}],
    ids=lambda change: next(iter(change)),
)
def test_sidecar_of_another_request_is_refused(store: Store, change: dict[str, Any]) -> None:
    """A sidecar that tells of another prompt, seed, size or setting is none of this picture's."""
    store.change_sidecar(**change)
    assert is_refused(store.load())


@pytest.mark.parametrize(
    "change",
    [{"comment": "x"}, {"schema_version": 3}, {"sha256": None}, {"seed": "many"}, {"identity": {}}],
    ids=lambda change: next(iter(change)),
)
def test_sidecar_of_another_form_is_refused(store: Store, change: dict[str, Any]) -> None:
    """An unknown key, another schema or a wrong type makes a sidecar unusable, and the reason names the key."""
    store.change_sidecar(**change)
    expected = store.load()
    assert is_refused(expected)
    assert next(iter(change)) in str(expected.problem)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe\x00"])
def test_sidecar_that_is_no_json_object_is_refused(store: Store, content: bytes) -> None:
    """A sidecar that is damaged is a problem, never an exception."""
    store.path(suffix=".json").write_bytes(content)
    assert is_refused(store.load())


def test_sidecar_without_schema_version_is_refused(store: Store) -> None:
    """A sidecar that does not say which schema it follows is not believed."""
    path = store.path(suffix=".json")
    content = json.loads(path.read_text(encoding="utf-8"))
    del content["schema_version"]
    path.write_text(json.dumps(content), encoding="utf-8")
    assert is_refused(store.load())


@pytest.mark.parametrize(("mode", "size"), [("RGBA", (128, 128)), ("L", (128, 128)), ("P", (128, 128))])
def test_picture_of_another_mode_is_refused(store: Store, mode: str, size: tuple[int, int]) -> None:
    """A stored picture is RGB."""
    store.replace_picture(png(mode, size))
    expected = store.load()
    assert is_refused(expected)
    assert mode in str(expected.problem)


@pytest.mark.parametrize("size", [(64, 128), (128, 64), (129, 128), (2000, 2000)])
def test_picture_of_another_size_is_refused(store: Store, size: tuple[int, int]) -> None:
    """A stored picture has the size of its request, to the pixel."""
    store.replace_picture(png("RGB", size))
    assert is_refused(store.load())


@pytest.mark.parametrize("format_name", ["JPEG", "GIF", "BMP", "TIFF"])
def test_file_of_another_format_is_refused(store: Store, format_name: str) -> None:
    """Only PNG is ever decoded, whatever the suffix says."""
    buffer = io.BytesIO()
    Image.new("RGB", (128, 128)).save(buffer, format=format_name)
    store.replace_picture(buffer.getvalue())
    assert is_refused(store.load())


def chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def raw_png(*chunks: bytes, depth: int = 8, colour: int = 2, rows: bytes | None = None) -> bytes:
    """A PNG of 128x128 pixels, put together by hand."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 128, 128, depth, colour, 0, 0, 0))
    pixels = rows if rows is not None else (b"\0" + b"\0" * (128 * 3 * depth // 8)) * 128
    parts = (header, *chunks, chunk(b"IDAT", zlib.compress(pixels)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def test_picture_put_together_by_hand_is_read(store: Store) -> None:
    """The pictures of the next tests would be read if they had eight bits a channel and nothing else."""
    store.replace_picture(raw_png())
    assert store.load().problem is None


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (raw_png(depth=16), "bit depth"),
        (raw_png(chunk(b"tRNS", struct.pack(">HHH", 1, 2, 3))), "transparent"),
        (raw_png(chunk(b"zTXt", b"a\0\0" + zlib.compress(b"0" * (64 << 20)))), "unusable picture"),
        (raw_png(rows=b"\0" * 1000), "cannot be decoded"),
    ],
    ids=["16 bits", "a transparent colour", "64 MiB of text", "too few pixels"],
)
def test_picture_that_is_not_plain_is_refused(store: Store, content: bytes, told: str) -> None:
    """Sixteen bits a channel, a transparent colour, a text that explodes or missing pixels are told, not read."""
    store.replace_picture(content)
    expected = store.load()
    assert is_refused(expected)
    assert told in str(expected.problem)


def test_pixels_that_explode_are_not_kept(store: Store) -> None:
    """More pixels than the header claims, 64 MiB of them in a small file, never become a larger picture."""
    store.replace_picture(raw_png(rows=b"\0" * (64 << 20)))
    expected = store.load()
    assert expected.picture is None or expected.picture.size == (128, 128)


def test_other_initial_latents_are_not_comparable(store: Store) -> None:
    """A seed that gives other latents than those of the stored picture is told, with the torch of then."""

    def problem(latents_sha256: str | None) -> str | None:
        request = store.requests[0]
        return load_expected(store.case, store.folder, request, store.identity, latents_sha256=latents_sha256).problem

    assert problem("a" * 64) is None  # the sidecar tells none
    store.change_sidecar(latents_sha256="a" * 64)
    assert problem("a" * 64) is None
    assert problem(None) is None
    told = str(problem("b" * 64))
    assert "other initial latents" in told
    assert "torch 2.13" in told


def add_alternative(store: Store, number: int, scene: int) -> None:
    """Accept another picture beside the first one."""
    source = write_expected(
        store.folder / "elsewhere",
        store.case,
        store.requests[0],
        draw(scene_at(scene)),
        identity=store.identity,
        stack={},
        scores={},
    )
    target = alternative_path(store.path(), number)
    for suffix in (".png", ".json"):
        target.with_suffix(suffix).write_bytes(source.with_suffix(suffix).read_bytes())


def test_alternatives_are_loaded_beside_their_picture(store: Store) -> None:
    """Each alternative comes with picture and sidecar; another picture's are its own."""
    add_alternative(store, 1, 7)
    add_alternative(store, 3, 8)
    expected = store.load()
    assert [each.path.name.rpartition(".alt")[2] for each in expected.alternatives] == ["1.png", "3.png"]
    pixels = [each.picture.tobytes() for each in expected.alternatives if each.picture is not None]
    assert pixels == [draw(scene_at(7)).tobytes(), draw(scene_at(8)).tobytes()]
    assert store.load(1).alternatives == ()


@pytest.mark.parametrize("suffix", [".png", ".json"])
@pytest.mark.parametrize("damage", ["remove", "cut"])
def test_damaged_alternative_is_never_left_out(store: Store, suffix: str, damage: str) -> None:
    """Half of an alternative, or a damaged one, makes its picture not comparable, and is named."""
    add_alternative(store, 2, 7)
    path = alternative_path(store.path(), 2).with_suffix(suffix)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-20])
    else:
        path.unlink()
    expected = store.load()
    assert is_refused(expected)
    assert ".alt2." in str(expected.problem)


def test_file_larger_than_any_picture_is_not_read(store: Store) -> None:
    """A file that is larger than any picture of its size is refused by its length."""
    content = store.path().read_bytes() + b"\0" * (3 << 20)
    store.replace_picture(content)
    expected = store.load()
    assert is_refused(expected)
    assert "larger" in str(expected.problem)


def test_picture_that_claims_to_be_huge_is_refused(store: Store) -> None:
    """A small file whose header claims 60000x60000 pixels is a problem, never an exception or a decode."""
    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    content = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", len(header)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    store.replace_picture(content + png("RGB", (128, 128))[33:])
    assert is_refused(store.load())


def test_cut_picture_with_a_matching_hash_is_refused(store: Store) -> None:
    """A picture cut at any place of its pixels, with a sidecar that agrees about its hash, is a problem."""
    content = png("RGB", (128, 128))
    pixels_end = content.index(b"IEND") - 8  # length of the last chunk and checksum of the one before it
    for end in range(0, pixels_end - 4, 7):
        store.replace_picture(content[:end])
        assert is_refused(store.load())


def test_damaged_bytes_never_raise(store: Store) -> None:
    """A picture with one byte changed, wherever it is, loads or is a problem; it never raises."""
    content = bytearray(png("RGB", (128, 128)))
    for position in range(8, len(content)):
        changed = bytearray(content)
        changed[position] ^= 0xFF
        store.replace_picture(bytes(changed))
        expected = store.load()
        assert (expected.picture is None) == bool(expected.problem)


def test_folder_in_place_of_a_picture_is_refused(store: Store) -> None:
    """What is no file at all is a problem, never an exception."""
    store.path().unlink()
    store.path().mkdir()
    assert is_refused(store.load())


def test_foreign_identity_is_told_field_by_field(store: Store, identity: PictureIdentity) -> None:
    """A picture drawn with another setting on the same hardware is not comparable, and the setting is named."""
    mine = identity.model_copy(update={"attention": "sdpa:flash"})
    expected = store.load(identity=mine)
    assert expected.picture is None
    assert expected.problem == "another picture identity: attention: sdpa:math -> sdpa:flash"


def test_other_hardware_offers_its_pictures_as_foreign(store: Store, identity: PictureIdentity) -> None:
    """Where this hardware has no pictures, another's are offered, with the difference told."""
    mine = identity.model_copy(update={"hardware": "NVIDIA H20"})
    expected = store.load(identity=mine)
    assert expected.problem is None
    assert expected.foreign == ["hardware: cpu-avx2 -> NVIDIA H20"]


def test_own_hardware_comes_before_others(store: Store, identity: PictureIdentity) -> None:
    """Pictures of this hardware are taken where there are any."""
    other = identity.model_copy(update={"hardware": "a-gpu"})
    Store(store.folder, store.case, other)
    assert expected_folder(store.folder, identity) == store.expected


def test_no_pictures_at_all_gives_the_own_folder(tmp_path: Path, identity: PictureIdentity) -> None:
    """Where nobody stored anything, the folder is the one that this hardware would have."""
    assert expected_folder(tmp_path, identity) == tmp_path / "cpu-avx2-float32" / "expected"


@pytest.mark.parametrize(
    "prompt",
    [
        "../../etc/passwd",
        "/etc/passwd",
        "<b>bold</b>",
        "a\x00b\n\x1b[31m",
        "x" * 2000,
        "..",
        "",
        "夜空",
        "con",
        "a b  c",
    ],
)
def test_name_of_a_nasty_prompt_stays_inside_its_folder(tmp_path: Path, prompt: str) -> None:
    """Whatever a prompt says, its file lies directly in the folder and has a short plain name."""
    name = picture_name(Request(prompt, 20, 128, 64, 2))
    assert (tmp_path / f"{name}.png").resolve().parent == tmp_path.resolve()
    assert name.replace("-", "").isalnum()
    assert len(name) < 100


@given(prompt=st.text(max_size=200), seed=st.integers(0, 2**63 - 1))
@settings(max_examples=100, deadline=None)
def test_names_are_plain_for_any_prompt(prompt: str, seed: int) -> None:
    """Any text gives a name of lower-case letters, digits and dashes, that can be encoded and is short."""
    name = picture_name(Request(prompt, seed, 128, 64, 2))
    assert name.isascii()
    assert name.replace("-", "").isalnum()
    assert name == name.lower()
    assert len(name) < 120


def test_names_tell_prompts_apart_that_look_alike() -> None:
    """Prompts that differ only in signs, or only beyond the shortened part, have different names."""
    prompts = ["a b", "a  b", "a-b", "A b", "x" * 100, "x" * 101]
    assert len({picture_name(Request(prompt, 20, 128, 64, 2)) for prompt in prompts}) == len(prompts)


def test_name_tells_seed_and_width_before_height() -> None:
    """File names give the size as width x height."""
    assert picture_name(Request("blue ring", 20, 128, 64, 2)).endswith("-s20-64x128")


def test_sidecar_holds_everything_about_its_picture(store: Store) -> None:
    """A sidecar tells prompt, identity, stack, score and hash, and no reason before anybody gave one."""
    sidecar = read_sidecar(store.path(suffix=".json"))
    assert sidecar.prompt == store.requests[0].prompt
    assert (sidecar.identity, sidecar.stack, sidecar.clip_score) == (store.identity, {"torch": "2.13"}, 25.0)
    assert sidecar.sha256 == hashlib.sha256(store.path().read_bytes()).hexdigest()
    assert sidecar.accepted_because is None


def test_read_picture_checks_the_hash(store: Store) -> None:
    """A picture with another hash than asked for raises before it is decoded."""
    with pytest.raises(ValueError, match="sha256"):
        read_picture(store.path(), (128, 128), "0" * 64)


def test_png_is_lossless(picture: Image.Image) -> None:
    """Encoding and decoding changes no pixel."""
    assert Image.open(io.BytesIO(encode_png(picture))).tobytes() == picture.tobytes()
