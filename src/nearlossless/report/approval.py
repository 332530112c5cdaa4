"""What approving would change: a table for the terminal, and `approval.html` with old, new and difference."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nearlossless.accepting.approval import Candidate
from nearlossless.atomic import write_text
from nearlossless.baselines.expected import encode_png, read_picture
from nearlossless.report.console import render_cells
from nearlossless.report.templating import template

if TYPE_CHECKING:
    from PIL import Image

APPROVAL_PAGE = "approval.html"
AMPLIFICATION = 10  # of the difference: one level of 255 is nothing that an eye sees
_LARGEST_SIDE = 512  # of a shown picture
_HEADINGS = ("picture", "change", "worst-tile SSIM", "CLIP before", "CLIP after")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One candidate beside the expected picture, as it is shown."""

    candidate: Candidate
    worst_tile_ssim: float | None
    figures: list[tuple[str, str]]  # caption and picture, as a URL that holds its data

    def cells(self) -> tuple[str, ...]:
        """Under the table's headings."""
        candidate = self.candidate
        before = candidate.former.clip_score if candidate.former is not None else None
        return (
            f"{candidate.case}/{candidate.hardware}/{candidate.name}",
            candidate.change,
            "-" if self.worst_tile_ssim is None else f"{self.worst_tile_ssim:.4f}",
            *("-" if score is None else f"{score:.2f}" for score in (before, candidate.sidecar.clip_score)),
        )

    def labelled(self) -> list[tuple[str, str]]:
        """Each heading with its cell."""
        return list(zip(_HEADINGS, self.cells(), strict=True))


def compare(candidate: Candidate) -> Change:
    """Read both pictures of a candidate and compare them; an expected picture that is unusable is left out."""
    from nearlossless.metrics.pixels import Pixels
    from nearlossless.metrics.structure import ssim

    size = (candidate.sidecar.width, candidate.sidecar.height)
    new = read_picture(candidate.source, size, candidate.sidecar.sha256)
    old = _expected(candidate, size)
    if old is None:
        return Change(candidate=candidate, worst_tile_ssim=None, figures=[("new", _data_url(new))])
    figures = [
        ("old", _data_url(old)),
        ("new", _data_url(new)),
        (f"difference, {AMPLIFICATION} times", _data_url(amplified_difference(old, new))),
    ]
    worst_tile_ssim = ssim(Pixels(new), Pixels(old)).worst_tile_ssim
    return Change(candidate=candidate, worst_tile_ssim=worst_tile_ssim, figures=figures)


def _expected(candidate: Candidate, size: tuple[int, int]) -> "Image.Image | None":
    if candidate.former is None:
        return None
    try:
        return read_picture(candidate.expected, size, candidate.former.sha256)
    except (OSError, ValueError):
        return None


def amplified_difference(old: "Image.Image", new: "Image.Image") -> "Image.Image":
    """The distance of each colour of each pixel, `AMPLIFICATION` times."""
    from PIL import ImageChops

    amplified = bytes(min(255, AMPLIFICATION * level) for level in range(256))
    return ImageChops.difference(old, new).point(list(amplified) * 3)


def _data_url(picture: "Image.Image") -> str:
    shown = picture.copy()
    shown.thumbnail((_LARGEST_SIDE, _LARGEST_SIDE))
    return "data:image/png;base64," + base64.b64encode(encode_png(shown)).decode("ascii")


def approval_table(changes: Sequence[Change], *, colour: bool) -> str:
    """One line a picture, as text."""
    return render_cells(_HEADINGS, [change.cells() for change in changes], title="", colour=colour)


def write_approval_page(changes: Sequence[Change], folder: Path) -> Path:
    """Write the page, which needs no other file, and return its path."""
    path = folder / APPROVAL_PAGE
    write_text(path, template("approval.html.jinja").render(changes=changes))
    return path
