"""How much memory: peaks by phase, and what is left from call to call."""

from typing import TYPE_CHECKING

from nearlossless.gates import GIB
from nearlossless.memory.leaks import judged
from nearlossless.record.speed import PHASES
from nearlossless.record.subject import SubjectRecord
from nearlossless.report.plots.drawing import Drawing, legend
from nearlossless.report.svg import BASELINE, COMPILED, GRID

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MIB = 1024**2


def peaks(subject: SubjectRecord) -> Drawing | None:
    """Peaks of loading, of the first call, and of steady calls with their phases."""
    processes = {"baseline": (subject.baseline_process, BASELINE), "compiled": (subject.cold_process, COMPILED)}
    sides = {}
    for name, (process, colour) in processes.items():
        if process is not None:
            found = process.peaks
            stages = {"load": found.load_bytes, "first call": found.first_call_bytes, "steady": found.steady_bytes}
            stages |= {phase: found.steady_phase_bytes[phase] for phase in PHASES if phase in found.steady_phase_bytes}
            sides[name] = ({stage: count / GIB for stage, count in stages.items()}, colour)
    if not sides:
        return None
    stages_shown = list(dict.fromkeys(stage for gib, _ in sides.values() for stage in gib))

    def draw(axes: "Axes") -> None:
        width = 0.8 / len(sides)
        for number, (name, (gib, colour)) in enumerate(sides.items()):
            places = [index + (number - (len(sides) - 1) / 2) * width for index in range(len(stages_shown))]
            axes.bar(places, [gib.get(stage, 0.0) for stage in stages_shown], width * 0.92, color=colour, label=name)
        axes.set_xticks(
            range(len(stages_shown)), [stage.replace(" ", "\n") for stage in stages_shown], fontsize="small"
        )
        axes.set_ylabel("peak GiB")
        legend(axes)

    told = [f"{name} {gib['steady']:.3f} GiB, at most {max(gib.values()):.3f}" for name, (gib, _) in sides.items()]
    return Drawing(title="Peak memory over the run", words=f"Steady peak: {'; '.join(told)}.", draw=draw)


def rounds(subject: SubjectRecord) -> Drawing | None:
    """What the compiled pipeline held after each round of the calls that show leaks, from the first round on."""
    found = subject.cold_process.rounds if subject.cold_process else None
    if found is None or len(found.tensor_bytes) < 2:
        return None
    sides = {"host": (found.host_bytes, BASELINE), "torch's tensors": (found.tensor_bytes, COMPILED)}
    grown = {name: [(each - b[0]) / MIB for each in b] for name, (b, _) in sides.items() if b}
    count = len(found.tensor_bytes)
    first_judged = count - len(judged(found.tensor_bytes)) + 1

    def draw(axes: "Axes") -> None:
        axes.axvspan(first_judged - 0.5, count + 0.5, color=GRID, alpha=0.35, linewidth=0, label="judged")
        for name, mib in grown.items():
            axes.plot(range(1, count + 1), mib, ".-", color=sides[name][1], linewidth=0.9, label=name)
        axes.locator_params(axis="x", integer=True)
        axes.set_xlabel("round of calls")
        axes.set_ylabel("MiB more than at first")
        legend(axes)

    told = ", ".join(f"{name} {mib[-1]:+.3g} MiB" for name, mib in reversed(grown.items()))
    words = (
        f"{count} rounds of {' and '.join(found.drawn)}, last beside first: {told}; judged from round {first_judged}."
    )
    return Drawing(title="Memory from call to call", words=words, draw=draw)
