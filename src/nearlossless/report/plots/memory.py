"""How much memory: peaks by phase."""

from typing import TYPE_CHECKING

from nearlossless.gates import GIB
from nearlossless.record.subject import SubjectRecord
from nearlossless.report.plots.drawing import Drawing, legend
from nearlossless.report.svg import BASELINE, COMPILED

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def peaks(subject: SubjectRecord) -> Drawing | None:
    """Peaks of loading, of the first call, and of steady calls with their phases."""
    processes = {"baseline": (subject.baseline_process, BASELINE), "compiled": (subject.cold_process, COMPILED)}
    sides = {}
    for name, (process, colour) in processes.items():
        if process is not None:
            found = process.peaks
            stages = {"load": found.load_bytes, "first call": found.first_call_bytes, "steady": found.steady_bytes}
            sides[name] = ({stage: count / GIB for stage, count in (stages | found.steady_phase_bytes).items()}, colour)
    if not sides:
        return None
    stages_shown = list(dict.fromkeys(stage for gib, _ in sides.values() for stage in gib))

    def draw(axes: "Axes") -> None:
        width = 0.8 / len(sides)
        for number, (name, (gib, colour)) in enumerate(sides.items()):
            places = [index + (number - (len(sides) - 1) / 2) * width for index in range(len(stages_shown))]
            axes.bar(places, [gib.get(stage, 0.0) for stage in stages_shown], width * 0.92, color=colour, label=name)
        axes.set_xticks(range(len(stages_shown)), [stage.replace(" ", "\n") for stage in stages_shown])
        axes.set_ylabel("peak GiB")
        legend(axes)

    told = [f"{name} {gib['steady']:.3f} GiB, at most {max(gib.values()):.3f}" for name, (gib, _) in sides.items()]
    return Drawing(title="Peak memory over the run", words=f"Steady peak: {'; '.join(told)}.", draw=draw)
