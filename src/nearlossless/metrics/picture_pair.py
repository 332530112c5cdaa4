"""Two pictures by hand: read with a bound on their size, compared with every score."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nearlossless.metrics.scores import Scores

if TYPE_CHECKING:
    from PIL import Image

MOST_PIXELS = 1 << 24  # 4096x4096: scores take about 100 bytes a pixel
LEAST_SIDE_PX = 16  # one tile
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")
_LARGEST_FILE = 1 << 28


class PictureError(Exception):
    """A picture that cannot be compared; names the file and what is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two pictures of one size, and how far the second is from the first."""

    expected: "Image.Image"
    obtained: "Image.Image"
    scores: Scores

    @property
    def is_same(self) -> bool:
        """Whether every pixel is the same."""
        return self.scores.max_difference == 0


def read_pair(expected: Path, obtained: Path) -> Pair:
    """
    Read and compare two pictures; transparency is refused, since no score sees it.

    Raises:
        PictureError: One cannot be read, is no picture, too large or too small, or their sizes differ.
    """
    from nearlossless.metrics.pixels import Pixels
    from nearlossless.metrics.scores import compare

    first, second = read_bounded(expected), read_bounded(obtained)
    if first.size != second.size:
        sizes = [f"{path} is {one.width}x{one.height}" for path, one in ((expected, first), (obtained, second))]
        raise PictureError(f"only pictures of one size can be compared: {', '.join(sizes)}")
    return Pair(expected=first, obtained=second, scores=compare(Pixels(second), Pixels(first)))


def read_bounded(path: Path) -> "Image.Image":
    """
    One picture as RGB; its size is known before anything is decoded.

    Raises:
        PictureError: Unreadable, no picture, too large, too small, transparent or of more than 8 bits a channel.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise PictureError(f"{path}: is larger than {_LARGEST_FILE} bytes")
        with Image.open(path, formats=_FORMATS) as picture:
            _check(path, picture)
            return picture.convert("RGB")
    except UnidentifiedImageError:
        raise PictureError(f"{path}: is no picture of a known format ({', '.join(_FORMATS)})") from None
    except OSError as error:
        raise PictureError(f"{path}: cannot be read ({error.strerror or error})") from None
    except (Image.DecompressionBombError, SyntaxError, ValueError) as error:
        raise PictureError(f"{path}: cannot be decoded: {error}") from None


def _check(path: Path, picture: "Image.Image") -> None:
    size = f"{picture.width}x{picture.height}"
    if picture.width * picture.height > MOST_PIXELS:
        raise PictureError(f"{path}: is {size}, and at most {MOST_PIXELS:,} pixels are compared")
    if min(picture.size) < LEAST_SIDE_PX:
        raise PictureError(f"{path}: is {size}, and at least {LEAST_SIDE_PX} pixels are needed each way")
    if picture.mode not in {"RGB", "L", "P", "1"} or "transparency" in picture.info:
        raise PictureError(
            f"{path}: is {picture.mode} or transparent; 8 bits a channel without transparency are compared"
        )
