"""A figure of matplotlib as SVG inside a page: colours follow the page's theme, and no style stands in it."""

import io
import re
from typing import Any
from xml.etree import ElementTree as ET

from nearlossless.printable import printable

# Colours that a plot draws with; in the page each is a variable of the style sheet.
INK, GRID, BASELINE, COMPILED, THRESHOLD, ASIDE = (f"#00000{number}" for number in range(1, 7))
_VARIABLES = {
    INK: "var(--ink)",
    GRID: "var(--line)",
    BASELINE: "var(--baseline)",
    COMPILED: "var(--compiled)",
    THRESHOLD: "var(--red)",
    ASIDE: "var(--amber)",
}
_FONT_SIZE = re.compile(r"([\d.]+)px")
_REFERENCE = re.compile(r"#(?=[\w.-]+\)?$)")


def settings() -> dict[str, Any]:
    """What matplotlib is to be told while it draws for a page."""
    return {
        "svg.fonttype": "none",
        "svg.hashsalt": "nearlossless",  # the same figures draw the same bytes
        "font.size": 11,
        "text.color": INK,
        "axes.labelcolor": INK,
        "axes.edgecolor": GRID,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.facecolor": "none",
        "figure.facecolor": "none",
        "xtick.color": INK,
        "ytick.color": INK,
        "grid.color": GRID,
        "grid.linewidth": 0.6,
        "legend.frameon": False,
        "legend.handlelength": 1.4,
        "legend.columnspacing": 1.2,
        "axes.grid": True,
        "axes.axisbelow": True,
    }


def inline_svg(sheet: Any, *, name: str, label: str) -> str:
    """
    A sheet as an `svg` element for an HTML page.

    Args:
        sheet: A figure of matplotlib, drawn under `settings`.
        name: Unlike that of any other in the page; begins every id in it.
        label: What a screen reader says instead.
    """
    drawn = io.BytesIO()
    sheet.savefig(drawn, format="svg", metadata={"Date": None})
    root = ET.fromstring(drawn.getvalue())  # noqa: S314 (matplotlib has just written it)
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.endswith(("}metadata", "}style")):
                parent.remove(child)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        element.attrib = _attributes(element.attrib, name)
    root.attrib = {"viewBox": root.attrib["viewBox"], "role": "img", "aria-label": printable(label)}
    return ET.tostring(root, encoding="unicode")


def _attributes(found: dict[str, str], name: str) -> dict[str, str]:
    """Without namespaces, each property of a style as an attribute, ids and what refers to them renamed."""
    style = found.pop("style", "")
    given = {key.rpartition("}")[2]: value for key, value in found.items()}
    for declaration in filter(None, style.split(";")):
        key, _, value = (part.strip() for part in declaration.partition(":"))
        given[key] = value
    if (size := _FONT_SIZE.search(given.pop("font", ""))) is not None:
        given["font-size"] = size[1]
    if "id" in given:
        given["id"] = f"{name}-{given['id']}"
    for key in ("href", "clip-path"):
        if key in given:
            given[key] = _REFERENCE.sub(f"#{name}-", given[key])
    return {key: _VARIABLES.get(value, value) for key, value in given.items()}
