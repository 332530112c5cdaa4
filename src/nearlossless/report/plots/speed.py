"""How fast: paired latencies, the interval closing on the threshold, time by phase."""

import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING

from nearlossless.cases.case import Sampling
from nearlossless.record.speed import PHASES, PhaseTimes
from nearlossless.record.subject import SubjectRecord
from nearlossless.report.plots.drawing import Drawing, legend
from nearlossless.report.svg import ASIDE, BASELINE, COMPILED, INK, THRESHOLD
from nearlossless.speed.latencies import PairedLatencies, is_latency
from nearlossless.speed.speedup import SpeedupQuestion

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_POINTS = 400  # of one line: more are neither seen nor quick to load
_FIRST = " in the first process"  # of several: a plot shows one
_Step = tuple[int, float, float, float]  # pairs so far, low end, median ratio, high end


def pairs(subject: SubjectRecord) -> Drawing | None:
    """Every call in the order taken, with those that were set aside."""
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
        legend(axes)

    judged = speeds.pairs.judged()
    counted = {"baseline": judged.baseline_s, "compiled": judged.compiled_s}
    told = [f"{name} median {statistics.median(s):.4g} s over {len(s)} calls" for name, s in counted.items() if s]
    first = _FIRST if speeds.replicas else ""
    words = f"{', '.join(told)}; {len(aside)} set aside{first}." if told else f"All {len(aside)} were set aside{first}."
    return Drawing(title="Paired latencies", words=words, draw=draw)


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


def interval(subject: SubjectRecord) -> Drawing | None:
    """What was known of the speedup after each pair."""
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
        legend(axes)

    where = _FIRST if speeds.replicas else ""
    required = "no threshold yet" if floor is None else f"required at least {floor:g}"
    words = f"Speedup {last:.4g} with interval {low:.4g} to {high:.4g} after {steps[-1][0]} pairs{where}; {required}."
    return Drawing(title="Interval closing on the threshold", words=words, draw=draw)


def _thinned(points: Sequence[_Step]) -> Sequence[_Step]:
    every = -(-len(points) // MOST_POINTS)
    return [*points[::every], *([points[-1]] if every > 1 else [])]


def _medians(calls: Sequence[PhaseTimes]) -> list[float]:
    return [statistics.median(call.seconds[phase] for call in calls) for phase in PHASES]


def phases(subject: SubjectRecord) -> Drawing | None:
    """Text encoding, denoising and decoding of a call, side by side."""
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
    first = _FIRST if subject.speeds.replicas else ""
    return Drawing(title="Time by phase", words=f"{'; '.join(told)}{first}.", draw=draw)
