"""The plots of one subject: what was measured, as pictures, each with a sentence that says the same."""

from dataclasses import dataclass

from nearlossless.record.subject import SubjectRecord
from nearlossless.report.plots.drawing import Drawing, drawn
from nearlossless.report.plots.memory import peaks, rounds
from nearlossless.report.plots.parity import blocks, steps
from nearlossless.report.plots.sizes import sizes
from nearlossless.report.plots.speed import interval, pairs, phases

WITHOUT_MATPLOTLIB = "No plots: matplotlib is not installed here (pip install matplotlib)."


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """One plot: its heading, what it shows in words, and the `svg` element."""

    title: str
    words: str
    svg: str


def plots(subject: SubjectRecord, name: str) -> list[Plot]:
    """
    Every plot that a subject's samples allow.

    Args:
        subject: What was measured.
        name: Begins the ids of the plots; unlike any other subject's of the page.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
    """
    drawings = [make(subject) for make in (pairs, interval, phases, peaks, rounds, sizes, steps, blocks)]
    return [plotted(drawing, f"{name}-{number}") for number, drawing in enumerate(drawings) if drawing is not None]


def plotted(drawing: Drawing, name: str) -> Plot:
    """Draw it, with ids that begin with this name."""
    return Plot(title=drawing.title, words=drawing.words, svg=drawn(drawing.draw, name=name, label=drawing.words))
