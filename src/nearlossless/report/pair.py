"""Two pictures by hand as a page: slider, flicker, difference, worst tile and scores in one file."""

import base64
from pathlib import Path

from nearlossless.atomic import write_text
from nearlossless.baselines.expected import encode_png
from nearlossless.metrics.figures import FIGURES
from nearlossless.metrics.picture_pair import Pair
from nearlossless.report.scores import shown
from nearlossless.report.templating import inlined, template


def pair_rows(pair: Pair) -> list[tuple[str, str]]:
    """Each figure's name and value, then what is in no band, and where the worst tile lies."""
    scores = pair.scores
    computed = [
        (f"{each.name}, {each.unit}" if each.unit else each.name, shown(each, each.of(scores))) for each in FIGURES
    ]
    rows = [row for row in computed if row[1] != "-"]
    rows += [("mean SSIM", f"{scores.mean_ssim:.5f}"), ("PSNR, dB", f"{scores.psnr_db:.1f}")]
    x, y, width, height = scores.worst_tile_xywh
    return [*rows, ("worst tile", f"{width}x{height} at {x}, {y}")]


def write_pair_page(pair: Pair, names: tuple[str, str], path: Path) -> None:
    """
    Write the page; it holds both pictures whole.

    Args:
        pair: What was compared.
        names: Of the expected and the obtained picture, as they are shown.
        path: Of the page.

    Raises:
        OSError: It cannot be written.
    """
    urls = [
        "data:image/png;base64," + base64.b64encode(encode_png(each)).decode("ascii")
        for each in (pair.expected, pair.obtained)
    ]
    page = template("pair.html.jinja").render(
        inlined=inlined(),
        pair=pair,
        rows=pair_rows(pair),
        pictures=list(zip(("expected", "obtained"), names, urls, strict=True)),
    )
    write_text(path, page)
