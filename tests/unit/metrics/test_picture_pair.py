"""Two pictures by hand: `nearlossless compare`."""

import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image, ImageChops
from typer.testing import CliRunner

from nearlossless.cli import app
from nearlossless.metrics.picture_pair import LEAST_SIDE_PX, MOST_PIXELS, PictureError, read_bounded, read_pair
from nearlossless.report.approval import AMPLIFICATION


@pytest.fixture
def pair(picture: Image.Image, tmp_path: Path) -> tuple[Path, Path]:
    """Two files that differ in one pixel by three levels."""
    first, second = tmp_path / "a.png", tmp_path / "b.png"
    picture.save(first)
    offset = Image.new("RGB", (1, 1), (0, 0, 3))
    picture.paste(ImageChops.add_modulo(picture.crop((5, 7, 6, 8)), offset), (5, 7))
    picture.save(second)
    return first, second


def invoke(*arguments: object) -> tuple[int, str]:
    """Exit code and everything that was printed."""
    done = CliRunner().invoke(app, ["compare", *map(str, arguments)])
    return done.exit_code, done.output


def test_equal_pictures_end_with_zero(pair: tuple[Path, Path]) -> None:
    """The same pixels are told to be the same."""
    code, output = invoke(pair[0], pair[0])
    assert code == 0
    assert "every pixel is the same" in output


def test_one_level_of_one_pixel_is_a_difference(pair: tuple[Path, Path]) -> None:
    """A difference of one pixel ends with 1, and its size stands in the table."""
    code, output = invoke(*pair)
    assert code == 1
    assert "the pictures differ" in output
    assert any("largest difference" in line and " 3 " in line for line in output.splitlines())


def test_difference_is_written(pair: tuple[Path, Path], tmp_path: Path) -> None:
    """The difference picture is black but for the pixel, which is amplified."""
    code, _ = invoke(*pair, "--difference", tmp_path / "d.png", "--html", tmp_path / "page.html")
    assert code == 1
    with Image.open(tmp_path / "d.png") as difference:
        assert difference.getbbox() == (5, 7, 6, 8)
        assert difference.getchannel("B").getextrema() == (0, 3 * AMPLIFICATION)
    assert (tmp_path / "page.html").read_text(encoding="utf-8").count("data:image/png") == 4


def test_page_that_cannot_be_written_is_an_error(pair: tuple[Path, Path]) -> None:
    """A folder that is a file is an error with exit code 2, not a traceback."""
    code, output = invoke(*pair, "--html", pair[0] / "page.html")
    assert code == 2
    assert output.startswith("error: ")


def header(width: int, height: int) -> bytes:
    """A PNG that claims a size and ends where its pixels should begin."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", b"")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"no picture", "no picture of a known format"),
        (b"", "no picture of a known format"),
        (header(4096, 4097), "16,777,216 pixels"),
        (header(100_000, 100_000), "decompression bomb"),
        (header(64, 64), "b.png: cannot be"),
    ],
    ids=["text", "empty", "large", "bomb", "truncated"],
)
def test_unusable_file_is_an_error(pair: tuple[Path, Path], content: bytes, told: str) -> None:
    """What cannot be compared ends with 2 and names the file and what is wrong."""
    pair[1].write_bytes(content)
    code, output = invoke(*pair)
    assert code == 2
    assert told in output
    assert "Traceback" not in output


def test_missing_file_is_an_error(pair: tuple[Path, Path]) -> None:
    """A name without a file ends with 2."""
    code, output = invoke(pair[0], pair[0].with_name("absent.png"))
    assert code == 2
    assert "absent.png: cannot be read" in output


@pytest.mark.parametrize("mode", ["RGBA", "LA", "I;16"])
def test_what_no_score_sees_is_refused(tmp_path: Path, mode: str) -> None:
    """Transparency and 16 bits would be cut off in silence."""
    Image.new(mode, (32, 32)).save(tmp_path / "a.png")
    with pytest.raises(PictureError, match="transparen"):
        read_bounded(tmp_path / "a.png")


@pytest.mark.parametrize(("side", "usable"), [(LEAST_SIDE_PX, True), (LEAST_SIDE_PX - 1, False)])
def test_smallest_picture_is_one_tile(tmp_path: Path, side: int, usable: bool) -> None:
    """A picture of one tile is compared, a smaller one refused."""
    Image.new("RGB", (side, 64)).save(tmp_path / "a.png")
    if usable:
        assert read_pair(tmp_path / "a.png", tmp_path / "a.png").is_same
    else:
        with pytest.raises(PictureError, match=f"{side}x64"):
            read_pair(tmp_path / "a.png", tmp_path / "a.png")


def test_largest_picture_is_bounded(tmp_path: Path) -> None:
    """A picture of exactly the bound is read."""
    side = round(MOST_PIXELS**0.5)
    Image.new("L", (side, side)).save(tmp_path / "a.png")
    assert read_bounded(tmp_path / "a.png").size == (side, side)


def test_sizes_must_agree(tmp_path: Path) -> None:
    """Pictures of two sizes are an error that names both."""
    for name, size in (("a.png", (64, 64)), ("b.png", (64, 80))):
        Image.new("RGB", size).save(tmp_path / name)
    with pytest.raises(PictureError, match=r"a\.png is 64x64, .*b\.png is 64x80"):
        read_pair(tmp_path / "a.png", tmp_path / "b.png")
