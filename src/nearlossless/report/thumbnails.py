"""Small copies of a report's pictures that stand inside the page; the pictures themselves stay files beside it."""

import base64
import io
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

SIDE_PX = 144  # of a thumbnail's longer side
MOST_THUMBNAILS = 3000  # of a page: about 3 kB each
_LARGEST_FILE = 1 << 26
_MOST_PIXELS = 1 << 26
_QUALITY = 70


def thumbnails(folder: Path | None, files: Iterable[str]) -> Mapping[str, str]:
    """
    A data URL for each of the first `MOST_THUMBNAILS` files that are pictures in a report folder.

    A file that is not there, is no picture, is too large or lies outside the folder has none: a page is shown without.
    """
    if folder is None:
        return {}
    names = list(dict.fromkeys(files))[:MOST_THUMBNAILS]
    root = folder.resolve()
    with ThreadPoolExecutor() as pool:  # decoding leaves Python's lock free
        made = pool.map(lambda name: _thumbnail(root, name), names)
    return {name: url for name, url in zip(names, made, strict=True) if url is not None}


def _thumbnail(root: Path, name: str) -> str | None:
    from PIL import Image

    try:
        path = (root / name).resolve(strict=True)
        if not path.is_relative_to(root) or not path.is_file() or path.stat().st_size > _LARGEST_FILE:
            return None
        with Image.open(path, formats=["PNG"]) as picture:
            return small_url(picture) if picture.width * picture.height <= _MOST_PIXELS else None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def small_url(picture: "Image.Image", side_px: int = SIDE_PX) -> str:
    """A picture as a data URL, its longer side at most `side_px` pixels."""
    shown = picture.convert("RGB")
    shown.thumbnail((side_px, side_px))
    buffer = io.BytesIO()
    shown.save(buffer, format="WEBP", quality=_QUALITY)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
