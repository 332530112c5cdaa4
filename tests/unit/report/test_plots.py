"""Plots of a page: of what was measured, without style or text of strangers, and never in the way of a report."""

import re
from xml.etree import ElementTree as ET

import pytest

from nearlossless.cases.case import Sampling
from nearlossless.cases.thresholds import Thresholds
from nearlossless.memory.leaks import Rounds
from nearlossless.record import Record
from nearlossless.record.quality import StepParity
from nearlossless.record.subject import SubjectRecord
from nearlossless.report.html import render_html
from nearlossless.report.plots import WITHOUT_MATPLOTLIB, plots
from nearlossless.report.plots.speed import closing_interval
from nearlossless.sequential import confidence_sequence
from nearlossless.speed.latencies import PairedLatencies, log_ratios

MIB = 1024**2


def test_plots_are_of_what_was_measured(full_record: Record) -> None:
    """Each kind of sample has a plot with words; a subject that measured nothing has none."""
    pytest.importorskip("matplotlib")
    subject = full_record.subjects[0]
    titles = [plot.title for plot in plots(subject, "p")]
    assert titles == [
        "Paired latencies",
        "Interval closing on the threshold",
        "Time by phase",
        "Peak memory over the run",
        "Memory from call to call",
        "Latency by size",
        "Step parity by step",
        "Step parity by block",
    ]
    bare = SubjectRecord(case="c", recipe="r", backend="b", device="cpu", thresholds=Thresholds())
    assert plots(bare, "p") == []


def test_plot_is_an_element_without_style(full_record: Record) -> None:
    """An svg that a strict policy shows: no style, no script, ids of its own, colours of the page, a label in words."""
    pytest.importorskip("matplotlib")
    for number, plot in enumerate(plots(full_record.subjects[0], "name")):
        root = ET.fromstring(plot.svg)  # noqa: S314 (drawn a moment ago)
        assert root.get("aria-label") == plot.words
        everything = list(root.iter())
        assert not {"style", "script", "metadata"} & {element.tag for element in everything}
        assert not any("style" in element.attrib for element in everything)
        ids = [element.attrib["id"] for element in everything if "id" in element.attrib]
        assert len(ids) == len(set(ids))
        assert all(name.startswith(f"name-{number}-") for name in ids)
        told = {
            reference for reference in re.findall(r"#([\w.-]+)", plot.svg) if not re.fullmatch("[0-9a-f]{6}", reference)
        }
        assert told <= set(ids)
        assert "var(--ink)" in plot.svg
        assert "#00000" not in plot.svg


def test_blocks_are_plotted_with_the_worst_named(full_record: Record) -> None:
    """Beside the plot of the blocks stands which is the worst, at which step; blocks without a ratio are left out."""
    pytest.importorskip("matplotlib")
    found = {plot.title: plot for plot in plots(full_record.subjects[0], "p")}
    assert found["Step parity by block"].words == "2 blocks alone at step 1, worst 1.25e+04 in transformer_blocks.2."
    assert "transformer_blocks.2" in found["Step parity by block"].svg


@pytest.mark.parametrize(
    ("name", "shown"),
    [("$\\frac$", "$\\frac$"), ("a\x1bb", "a\\x1bb"), ("a\x00b", "a\\x00b"), ("\u202eb", "\\u202eb")],
)
def test_block_of_any_name_is_drawn(full_record: Record, name: str, shown: str) -> None:
    """The worst block's name is a record's: no formula in it is set, and control characters are named."""
    pytest.importorskip("matplotlib")
    subject = full_record.subjects[0]
    subject.parity.blocks = {name: StepParity(step=0, ratio=2.0)}
    svg = next(plot.svg for plot in plots(subject, "p") if plot.title == "Step parity by block")
    assert f">{shown}</text>" in svg
    assert name == shown or name not in svg


def test_label_of_a_plot_names_control_characters(full_record: Record) -> None:
    """What a screen reader is told shows what a record would hide, as the sentence beside the plot does."""
    pytest.importorskip("matplotlib")
    full_record.subjects[0].parity.divergence = "DIV\x1b\u202e"
    page = render_html(full_record)
    assert page.count("Divergence: DIV\\x1b\\u202e.") == 2
    assert not set(page) & {"\x1b", "\u202e"}


def test_peaks_are_plotted_of_known_phases(full_record: Record) -> None:
    """A phase that no run has is not drawn: its name could be anything."""
    pytest.importorskip("matplotlib")
    subject = full_record.subjects[0]
    assert subject.cold_process is not None
    phases = {"decoding": 2**30, "$\\frac$": 2**31}
    peaks = subject.cold_process.peaks.model_copy(update={"steady_phase_bytes": phases})
    subject.cold_process = subject.cold_process.model_copy(update={"peaks": peaks})
    found = next(plot for plot in plots(subject, "p") if plot.title == "Peak memory over the run")
    assert "at most 1.000" in found.words
    assert (">decoding<" in found.svg, "frac" in found.svg) == (True, False)


def test_memory_is_plotted_from_call_to_call(full_record: Record) -> None:
    """What tensors and host grew by over the rounds of calls is told; one round, or none, is no line."""
    pytest.importorskip("matplotlib")
    subject = full_record.subjects[0]
    assert subject.cold_process is not None
    for tensor_bytes, is_plotted in (([MIB, 3 * MIB], True), ([MIB], False)):
        rounds = Rounds(drawn=("64x64",), tensor_bytes=tensor_bytes, host_bytes=[9 * MIB for _ in tensor_bytes])
        subject.cold_process = subject.cold_process.model_copy(update={"rounds": rounds})
        told = [plot.words for plot in plots(subject, "p") if plot.title == "Memory from call to call"]
        words = "2 rounds of 64x64, last beside first: torch's tensors +2 MiB, host +0 MiB; judged from round 2."
        assert told == ([words] if is_plotted else [])


def test_plots_survive_unusable_samples(full_record: Record) -> None:
    """Zero, negative and infinite latencies are left out, and a single pair has no closing interval."""
    pytest.importorskip("matplotlib")
    subject = full_record.subjects[0]
    subject.speeds.baseline_s, subject.speeds.compiled_s = [0.0, float("inf"), 1.0], [-1.0, float("nan"), 0.5]
    assert plots(subject, "p")[0].title == "Paired latencies"
    subject.speeds.baseline_s, subject.speeds.compiled_s = [1.0], [0.5]
    assert "Interval closing on the threshold" not in [plot.title for plot in plots(subject, "p")]


@pytest.mark.parametrize("value", [1.7e308, -1.7e308, float("inf"), float("nan"), 5e-324])
def test_plots_survive_figures_beyond_any_scale(full_record: Record, value: float) -> None:
    """What a record holds and no axis does is left out of the sizes, and of step parity drawn at the edge."""
    pytest.importorskip("matplotlib")
    subject = full_record.subjects[0]
    step = StepParity(step=0, ratio=value)
    subject.parity.steps, subject.parity.blocks = [step], {"b": step}
    size = subject.sizes[0]
    subject.sizes = [
        size,
        size.model_copy(update={"baseline_s": [value]}),
        size.model_copy(update={"latency_s": value}),
    ]
    found = {plot.title: plot.words for plot in plots(subject, "p")}
    assert found["Latency by size"].startswith("2 calls")
    assert {"Step parity by step", "Step parity by block"} <= found.keys()


def test_set_aside_pairs_are_counted(full_record: Record) -> None:
    """The words beside the pairs tell how many were set aside."""
    pytest.importorskip("matplotlib")
    subject = full_record.subjects[0]
    subject.speeds.set_aside = [None, "throttled", None]
    assert "1 set aside" in plots(subject, "p")[0].words


def test_closing_interval_ends_as_it_was_judged() -> None:
    """The last interval is that of all pairs, and each has its own number of pairs."""
    pairs = PairedLatencies([1.0, 1.02, 0.99, 1.01, 1.0, 1.03], [0.5, 0.51, 0.5, 0.49, 0.505, 0.5])
    steps = closing_interval(pairs, Sampling(), None)
    whole = confidence_sequence(log_ratios(pairs), alpha=Sampling().alpha).exponential()
    assert [step[0] for step in steps] == [2, 3, 4, 5, 6]
    assert steps[-1][1] == pytest.approx(whole.low)
    assert steps[-1][3] == pytest.approx(whole.high)


def test_page_without_matplotlib_says_so(full_record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where matplotlib is missing, a run of hours still ends with a report."""

    def missing(*_: object) -> None:
        raise ModuleNotFoundError("No module named 'matplotlib'")

    monkeypatch.setattr("nearlossless.report.html.plots", missing)
    assert WITHOUT_MATPLOTLIB in render_html(full_record)
