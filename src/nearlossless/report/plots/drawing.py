"""What a plot is, and how it is drawn."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nearlossless.report.svg import inline_svg, settings

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZE_IN = (5.2, 2.9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """What a plot draws, and the sentence beside it."""

    title: str
    words: str
    draw: "Callable[[Axes], None]"


def drawn(draw: Callable[[Any], None], *, name: str, label: str) -> str:
    """One pair of axes, drawn on and made an `svg` element."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(settings()):
        sheet = Figure(figsize=SIZE_IN, layout="constrained")
        draw(sheet.subplots())
        return inline_svg(sheet, name=name, label=label)


def legend(axes: "Axes") -> None:
    """Above the axes, where it hides nothing."""
    axes.legend(ncols=4, fontsize="small", loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0)
