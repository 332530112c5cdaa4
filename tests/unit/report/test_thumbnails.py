"""Thumbnails of a report folder's pictures."""

import base64
import io
import os
from pathlib import Path

import pytest
from PIL import Image

from nearlossless.report.thumbnails import SIDE_PX, thumbnails


def picture_file(folder: Path, name: str, size: tuple[int, int] = (300, 200)) -> Path:
    """A picture in a report folder."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, "teal").save(path, format="PNG")
    return path


def test_thumbnail_is_a_small_picture(tmp_path: Path) -> None:
    """It holds its picture at no more than the side of a thumbnail."""
    picture_file(tmp_path, "a.png")
    found = thumbnails(tmp_path, ["a.png", "a.png"])
    picture = Image.open(io.BytesIO(base64.b64decode(found["a.png"].partition(",")[2])))
    assert max(picture.size) == SIDE_PX
    assert picture.convert("RGB").getpixel((5, 5)) == pytest.approx((0, 128, 128), abs=6)


def test_thumbnails_never_leave_the_folder(tmp_path: Path) -> None:
    """Names with dots, absolute names and links that lead out have no thumbnail; neither has what is no picture."""
    inside, outside = tmp_path / "report", picture_file(tmp_path, "secret.png")
    inside.mkdir()
    (inside / "link.png").symlink_to(outside)
    (inside / "text.png").write_text("no picture", encoding="utf-8")
    os.mkfifo(inside / "pipe.png")
    names = ["../secret.png", str(outside), "link.png", "text.png", "pipe.png", "absent.png", "", "."]
    assert thumbnails(inside, names) == {}
    assert thumbnails(None, ["a.png"]) == {}
