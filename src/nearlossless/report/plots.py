"""The plots of one subject: what was measured, as pictures, each with a sentence that says the same."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nearlossless.cases import Sampling
from nearlossless.gates import GIB
from nearlossless.latencies import PairedLatencies, is_latency
from nearlossless.record.shapes import SizeRecord
from nearlossless.record.speed import PHASES, PhaseTimes
from nearlossless.record.subject import SubjectRecord
from nearlossless.report.svg import ASIDE, BASELINE, COMPILED, INK, THRESHOLD, inline_svg, settings
from nearlossless.speedup import SpeedupQuestion

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZE_IN = (5.2, 2.9)
MOST_POINTS = 400  # of one line: more are neither seen nor quick to load
_Step = tuple[int, float, float, float]  # pairs so far, low end, median ratio, high end
WITHOUT_MATPLOTLIB = "No plots: matplotlib is not installed here (pip install matplotlib)."


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """One plot: its heading, what it shows in words, and the `svg` element."""

    title: str
    words: str
    svg: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Drawing:
    """What a plot draws, and the sentence beside it."""

    title: str
    words: str
    draw: "Callable[[Axes], None]"


def plots(subject: SubjectRecord, name: str) -> list[Plot]:
    """
    Every plot that a subject's samples allow.

    Args:
        subject: What was measured.
        name: Begins the ids of the plots; unlike any other subject's of the page.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
    """
    drawings = [make(subject) for make in (_pairs, _interval, _phases, _memory, _sizes, _parity)]
    return [_plot(drawing, f"{name}-{number}") for number, drawing in enumerate(drawings) if drawing is not None]


def _plot(drawing: _Drawing, name: str) -> Plot:
    return Plot(title=drawing.title, words=drawing.words, svg=drawn(drawing.draw, name=name, label=drawing.words))


def drawn(draw: Callable[[Any], None], *, name: str, label: str) -> str:
    """One pair of axes, drawn on and made an `svg` element."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(settings()):
        sheet = Figure(figsize=SIZE_IN, layout="constrained")
        draw(sheet.subplots())
        return inline_svg(sheet, name=name, label=label)


def _legend(axes: "Axes") -> None:
    """Above the axes, where it hides nothing."""
    axes.legend(ncols=4, fontsize="small", loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0)


def _pairs(subject: SubjectRecord) -> _Drawing | None:
    speeds = subject.speeds
    sides = [("baseline", BASELINE, speeds.baseline_s), ("compiled", COMPILED, speeds.compiled_s)]
    sides = [(label, colour, seconds) for label, colour, seconds in sides if any(map(is_latency, seconds))]
    if not sides:
        return None
    aside = {number for number, reason in enumerate(speeds.set_aside) if reason is not None}

    def draw(axes: "Axes") -> None:
        for label, colour, seconds in sides:
            taken = [(number + 1, each) for number, each in enumerate(seconds) if is_latency(each)]
            axes.plot(*zip(*taken, strict=True), ".-", color=colour, linewidth=0.7, label=label)
        marked = [(n + 1, s[n]) for n in sorted(aside) for _, _, s in sides if n < len(s) and is_latency(s[n])]
        if marked:
            axes.plot(*zip(*marked, strict=True), "x", color=ASIDE, markersize=9, label="set aside")
        axes.locator_params(axis="x", integer=True)
        axes.set_xlabel("pair, in the order taken")
        axes.set_ylabel("seconds a call")
        _legend(axes)

    judged = speeds.pairs.judged()
    counted = {"baseline": judged.baseline_s, "compiled": judged.compiled_s}
    told = [f"{name} median {statistics.median(s):.4g} s over {len(s)} calls" for name, s in counted.items() if s]
    words = f"{', '.join(told)}; {len(aside)} set aside." if told else f"All {len(aside)} were set aside."
    return _Drawing(title="Paired latencies", words=words, draw=draw)


def closing_interval(pairs: PairedLatencies, sampling: Sampling, floor: float | None) -> list[_Step]:
    """The interval of the speedup after each pair from the second on."""
    question, found = SpeedupQuestion(sampling, floor), []
    for number, (baseline_s, compiled_s) in enumerate(zip(pairs.baseline_s, pairs.compiled_s, strict=False), 1):
        question.add(baseline_s, compiled_s)
        if number > 1 and is_latency(baseline_s) and is_latency(compiled_s):
            check = question.check()
            assert check.obtained is not None
            assert check.interval is not None
            found.append((number, check.interval.low, check.obtained, check.interval.high))
    return found


def _interval(subject: SubjectRecord) -> _Drawing | None:
    speeds, floor = subject.speeds, subject.thresholds.min_speedup
    sampling = (subject.sampling or Sampling()).shared_by(len(speeds.runs))
    steps = closing_interval(speeds.pairs.judged(), sampling, floor)
    if not steps:
        return None
    _, low, last, high = steps[-1]
    span = max(abs(last - (floor or last)), 0.1 * last)

    def draw(axes: "Axes") -> None:
        number, lows, medians, highs = zip(*_thinned(steps), strict=True)
        # What is not excluded yet has no end: it is drawn to the edge.
        bottom, top = max(0.0, min(last, floor or last) - 3 * span), max(last, floor or last) + 3 * span
        below, above = ([min(max(each, bottom), top) for each in ends] for ends in (lows, highs))
        axes.fill_between(number, below, above, color=COMPILED, alpha=0.2, linewidth=0, label="interval")
        axes.plot(number, medians, color=COMPILED, linewidth=1.2, label="median ratio")
        if floor is not None:
            axes.axhline(floor, color=THRESHOLD, linestyle="--", linewidth=1.1, label=f"required {floor:g}")
        axes.set_ylim(bottom, top)
        axes.locator_params(axis="x", integer=True)
        axes.set_xlabel("pairs so far")
        axes.set_ylabel("speedup")
        _legend(axes)

    where = " of the first process" if speeds.replicas else ""
    required = "no threshold yet" if floor is None else f"required at least {floor:g}"
    words = f"Speedup {last:.4g} with interval {low:.4g} to {high:.4g} after {steps[-1][0]} pairs{where}; {required}."
    return _Drawing(title="Interval closing on the threshold", words=words, draw=draw)


def _thinned(points: Sequence[_Step]) -> Sequence[_Step]:
    every = -(-len(points) // MOST_POINTS)
    return [*points[::every], *([points[-1]] if every > 1 else [])]


def _medians(calls: Sequence[PhaseTimes]) -> list[float]:
    return [statistics.median(call.seconds[phase] for call in calls) for phase in PHASES]


def _phases(subject: SubjectRecord) -> _Drawing | None:
    named = {"compiled": subject.speeds.compiled_phases, "baseline": subject.speeds.baseline_phases}
    sides = {name: _medians(calls) for name, calls in named.items() if calls}
    if not sides:
        return None

    def draw(axes: "Axes") -> None:
        begins = [0.0] * len(sides)
        for phase, alpha in zip(range(len(PHASES)), (0.25, 0.55, 0.4), strict=True):
            lengths = [seconds[phase] for seconds in sides.values()]
            colours = [COMPILED if name == "compiled" else BASELINE for name in sides]
            bars = axes.barh(list(sides), lengths, left=begins, color=colours, alpha=alpha, height=0.55)
            shares = [length / sum(side) for length, side in zip(lengths, sides.values(), strict=True) if sum(side) > 0]
            short = [f"{PHASES[phase]}\n{length:.3g} s" for length in lengths]
            shown = [text if share > 0.25 else "" for text, share in zip(short, shares, strict=False)]
            axes.bar_label(bars, shown, label_type="center", fontsize="small", color=INK)
            begins = [begin + length for begin, length in zip(begins, lengths, strict=True)]
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("seconds a call: text encoding, denoising, decoding")

    told = [
        f"{name}: " + ", ".join(f"{phase} {s:.3g} s" for phase, s in zip(PHASES, seconds, strict=True))
        for name, seconds in reversed(sides.items())
    ]
    return _Drawing(title="Time by phase", words="; ".join(told) + ".", draw=draw)


def _memory(subject: SubjectRecord) -> _Drawing | None:
    processes = {"baseline": (subject.baseline_process, BASELINE), "compiled": (subject.cold_process, COMPILED)}
    sides = {}
    for name, (process, colour) in processes.items():
        if process is not None:
            peaks = process.peaks
            stages = {"load": peaks.load_bytes, "first call": peaks.first_call_bytes, "steady": peaks.steady_bytes}
            sides[name] = ({stage: count / GIB for stage, count in (stages | peaks.steady_phase_bytes).items()}, colour)
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
        _legend(axes)

    told = [f"{name} {gib['steady']:.3f} GiB, at most {max(gib.values()):.3f}" for name, (gib, _) in sides.items()]
    return _Drawing(title="Peak memory over the run", words=f"Steady peak: {'; '.join(told)}.", draw=draw)


def _sizes(subject: SubjectRecord) -> _Drawing | None:
    timed = [size for size in subject.sizes if size.latency_s > 0]
    if not timed:
        return None
    compiled = [(_megapixels(size), statistics.median(size.compiled_s or [size.latency_s])) for size in timed]
    baseline = [(_megapixels(size), statistics.median(size.baseline_s)) for size in timed if size.baseline_s]
    red = [point for point, size in zip(compiled, timed, strict=True) if size.compiles or size.problems]
    marked: list[tuple[list[tuple[float, float]], str, dict[str, Any]]] = [
        (baseline, "o", {"color": BASELINE, "alpha": 0.6, "label": "baseline"}),
        (compiled, "o", {"color": COMPILED, "alpha": 0.8, "label": "compiled"}),
        (red, "x", {"color": THRESHOLD, "markersize": 10, "label": "compiled anew or went wrong"}),
    ]

    def draw(axes: "Axes") -> None:
        for points, marker, look in marked:
            if points:
                axes.plot(*zip(*points, strict=True), marker, **look)
        _legend(axes)
        axes.set_xlabel("megapixels")
        axes.set_ylabel("seconds a call")
        axes.set_ylim(bottom=0)

    seconds = [latency for _, latency in compiled]
    words = f"{len(timed)} calls, {min(seconds):.3g} to {max(seconds):.3g} s; {len(red)} compiled anew or went wrong."
    return _Drawing(title="Latency by size", words=words, draw=draw)


def _megapixels(size: SizeRecord) -> float:
    return size.height * size.width / 1e6


def _parity(subject: SubjectRecord) -> _Drawing | None:
    found = [(step.step + 1, step.ratio) for step in subject.parity.steps if step.ratio is not None]
    limit = subject.thresholds.max_parity_ratio
    if not found:
        return None

    def draw(axes: "Axes") -> None:
        axes.plot(*zip(*found, strict=True), "o-", color=COMPILED, linewidth=0.9, label="compiled / baseline")
        axes.axhline(1.0, color=BASELINE, linewidth=1.0, label="baseline's own error")
        if limit is not None:
            axes.axhline(limit, color=THRESHOLD, linestyle="--", linewidth=1.1, label=f"allowed {limit:g}")
        largest = max(ratio for _, ratio in found)
        axes.set_yscale("log" if largest > 20 else "linear")
        axes.set_xlabel("denoising step")
        axes.set_ylabel("error ratio")
        axes.margins(y=0.15)
        _legend(axes)

    worst = max(found, key=lambda pair: pair[1])
    allowed = "no threshold yet" if limit is None else f"allowed {limit:g}"
    words = f"Step parity at {len(found)} steps, worst {worst[1]:.4g} at step {worst[0]}; {allowed}."
    if subject.parity.divergence:
        words += f" Divergence: {subject.parity.divergence}."
    return _Drawing(title="Step parity by step", words=words, draw=draw)
