"""What `report.html` is made of: plots, tables by case, thumbnails, commands, what changed since the last green run."""

import base64
import io
import os
import re
import shlex
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from PIL import Image
from tests.scores import scores
from tests.unit.conftest import phase_times

from nearlossless.accepting.accepted import accepted_path
from nearlossless.cases.case import Sampling
from nearlossless.cases.thresholds import Band, Thresholds
from nearlossless.history.store import Entry
from nearlossless.memory.leaks import Rounds
from nearlossless.record import Record
from nearlossless.record.quality import PictureRecord, StepParity
from nearlossless.record.speed import Speeds
from nearlossless.record.subject import SubjectRecord
from nearlossless.report.html import Known, render_html
from nearlossless.report.matrix import matrix
from nearlossless.report.plots import WITHOUT_MATPLOTLIB, plots
from nearlossless.report.plots.speed import closing_interval
from nearlossless.report.reproducing import reproducing
from nearlossless.report.scores import CHAOS, score_rows
from nearlossless.report.since import is_green, last_greens, since_green
from nearlossless.report.thumbnails import SIDE_PX, thumbnails
from nearlossless.report.trends import trend
from nearlossless.report.verdict_list import glance, listed, tally
from nearlossless.sequential import confidence_sequence
from nearlossless.speed.latencies import PairedLatencies, log_ratios
from nearlossless.verdicts import Outcome

MIB = 1024**2
START = datetime(2025, 1, 1, tzinfo=UTC)


def run(record: Record, days: int, *, torch: str = "2.13.0", outcome: Outcome = Outcome.PASS) -> Record:
    """A copy of a record: another day, another torch, and every verdict the same."""
    other = record.model_copy(deep=True)
    other.started = (START + timedelta(days=days)).isoformat(timespec="seconds")
    for subject in other.subjects:
        assert subject.fingerprint is not None
        subject.fingerprint = subject.fingerprint.model_copy(update={"stack": {"torch": torch}})
        for verdict in subject.verdicts:
            verdict.outcome = outcome
    return other


def entries(*records: Record) -> list[Entry]:
    """Records as a history keeps them."""
    return [
        Entry(name=f"{number}.json", started=datetime.fromisoformat(record.started), record=record)
        for number, record in enumerate(records)
    ]


@pytest.mark.parametrize(
    ("outcomes", "green"),
    [
        (["PASS", "PASS"], True),
        (["PASS", "NOT_APPLICABLE"], True),
        (["NOT_APPLICABLE"], False),
        ([], False),
        (["PASS", "WAIVED"], False),
        (["PASS", "INCONCLUSIVE"], False),
        (["PASS", "NOT_COMPARABLE"], False),
        (["PASS", "REGRESSION"], False),
    ],
)
def test_only_passing_is_green(full_record: Record, outcomes: list[str], green: bool) -> None:
    """A run is green if something passed and nothing did anything else than pass or not apply."""
    subject = full_record.subjects[0]
    subject.verdicts = [
        verdict.model_copy(update={"outcome": Outcome(outcome)})
        for verdict, outcome in zip(subject.verdicts, outcomes, strict=False)
    ]
    assert is_green(full_record, subject) is green


@pytest.mark.parametrize(
    ("status", "elsewhere", "green"),
    [
        (None, "PASS", True),  # of a record that does not tell
        (0, "PASS", True),
        (1, "PASS", False),
        (1, "REGRESSION", True),  # another recipe's, which explains it
        (10, "NOT_COMPARABLE", True),
    ],
)
def test_failure_that_no_verdict_tells_is_not_green(
    full_record: Record, status: int | None, elsewhere: str, green: bool
) -> None:
    """A run that failed although no verdict says so is nobody's green run; one that another recipe failed may be."""
    other = full_record.subjects[0].model_copy(deep=True)
    for subject, outcome in ((full_record.subjects[0], "PASS"), (other, elsewhere)):
        subject.verdicts = [subject.verdicts[0].model_copy(update={"outcome": outcome})]
    full_record.subjects.append(other)
    full_record.exit_status = status
    assert is_green(full_record, full_record.subjects[0]) is green


def test_newest_green_run_is_compared(full_record: Record) -> None:
    """Of a history with red and later runs the newest green one before this run is taken, and the changes are told."""
    now = run(full_record, 9, torch="2.14.0", outcome=Outcome.REGRESSION)
    now.commit, now.variables = "bbb", {"TORCH_LOGS": "all"}
    good = run(full_record, 5, torch="2.12.0")
    good.commit, good.variables = "aaa", {}
    history = entries(run(full_record, 1), good, run(full_record, 7, outcome=Outcome.REGRESSION), run(full_record, 11))
    since = since_green(now, now.subjects[0], last_greens(now, history), None)
    assert since is not None
    assert (since.started, since.source) == (good.started, "history")
    assert since.changes == ["torch: 2.12.0 -> 2.14.0", "git commit: aaa -> bbb", "TORCH_LOGS: absent -> all"]


def test_old_records_tell_no_commit(full_record: Record) -> None:
    """A record from before commits were kept does not pass for one of another commit."""
    now = run(full_record, 9)
    now.commit, now.variables = "bbb", {"TORCH_LOGS": "all"}
    since = since_green(now, now.subjects[0], last_greens(now, entries(run(full_record, 1))), None)
    assert since is not None
    assert since.changes == []


@pytest.mark.parametrize("changed", ["recipe", "case", "device", "hardware"])
def test_another_subject_is_no_green_run(full_record: Record, changed: str) -> None:
    """Only the same case, recipe, device and GPU count."""
    now, other = run(full_record, 9), run(full_record, 1)
    subject = other.subjects[0]
    if changed == "hardware":
        assert subject.fingerprint is not None
        picture = subject.fingerprint.picture.model_copy(update={"hardware": "another"})
        timing = subject.fingerprint.timing.model_copy(update={"picture": picture})
        subject.fingerprint = subject.fingerprint.model_copy(update={"timing": timing})
    else:
        setattr(subject, changed, "another")
    assert since_green(now, now.subjects[0], last_greens(now, entries(other)), None) is None


def test_accepted_record_stands_in(full_record: Record, tmp_path: Path) -> None:
    """Without a green run in the history the accepted record is compared."""
    now, accepted = run(full_record, 9, torch="2.14.0"), run(full_record, 3)
    path = accepted_path(tmp_path / "miniature", "inductor", "cpu-avx2", "float32")
    path.parent.mkdir(parents=True)
    path.write_text(accepted.model_dump_json(), encoding="utf-8")
    since = since_green(now, now.subjects[0], {}, tmp_path)
    assert since is not None
    assert (since.source, since.changes) == ("accepted record", ["torch: 2.13.0 -> 2.14.0"])
    assert "torch: 2.13.0 -&gt; 2.14.0" in render_html(now, known=Known(baselines=tmp_path))


def test_page_says_that_no_green_run_is_known(full_record: Record) -> None:
    """Without one the page says how to have one."""
    assert "No green run of this case" in render_html(full_record)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("pytest tests/gate --case a --recipe b", ["--case", "miniature", "--recipe", "inductor"]),
        ("pytest --against /o/python", ["--case", "miniature", "--recipe", "inductor", "--against", "/o/python"]),
        ("pytest --baselines=b --backend x:y", ["--case", "miniature", "--recipe", "inductor", "--baselines", "b"]),
        (
            "pytest -m gpu --processes 3 -n auto",
            ["--case", "miniature", "--recipe", "inductor", "--processes", "3"],
        ),
        ("pytest 'unbalanced", ["--case", "miniature", "--recipe", "inductor"]),
    ],
)
def test_command_asks_one_gate_again(full_record: Record, command: str, expected: list[str]) -> None:
    """It names test, case and recipe, and keeps what changes the question; `--backend` only for its own recipe."""
    subject = full_record.subjects[0]
    verdict = subject.verdicts[0].model_copy(update={"test": "tests/gate/test_memory.py::test_memory[a b]"})
    parts = shlex.split(reproducing(command, subject, verdict))
    assert parts == ["pytest", "tests/gate/test_memory.py::test_memory[a b]", *expected]


def test_command_keeps_a_backend_without_a_recipe(full_record: Record) -> None:
    """A backend that was given by hand is no recipe of the case: it is given again."""
    subject = full_record.subjects[0]
    subject.recipe = "skip_a_block.apply"
    again = reproducing("pytest tests/gate --backend skip_a_block:apply -m x", subject, subject.verdicts[0])
    assert again == "pytest test_speedup --case miniature --backend skip_a_block:apply"


def test_command_asks_an_evaluation_again(full_record: Record) -> None:
    """An evaluation runs only where its marker is named, and on the prompts that the run was given."""
    subject = full_record.subjects[0]
    verdict = subject.verdicts[0].model_copy(update={"gate": "evaluation", "test": "test_release"})
    again = reproducing("pytest tests/gate -m release --prompts captions.tsv", subject, verdict)
    asked = "--case miniature --recipe inductor --prompts captions.tsv -m release"
    assert again == f"pytest test_release {asked}"


def test_red_comes_first_over_all_subjects(full_record: Record) -> None:
    """The list is of all subjects, by redness, and only what is not green is unfolded."""
    full_record.subjects.append(full_record.subjects[0].model_copy(update={"recipe": "other"}))
    found = listed(full_record)
    outcomes = ["REGRESSION", "NOT_COMPARABLE", "INCONCLUSIVE", "PASS", "NOT_APPLICABLE"]
    assert [verdict.outcome for verdict in found] == [outcome for outcome in outcomes for _ in range(2)]
    assert [verdict.is_open for verdict in found] == [True] * 6 + [False] * 4
    assert tally(found) == [(outcome, 2) for outcome in outcomes]


def test_reddest_recipe_comes_first_at_a_glance(full_record: Record) -> None:
    """Recipes are ordered by their reddest verdicts, each with its own section's link; one without any is last."""
    record = full_record
    for recipe in ("green", "redder", "bare"):
        subject = record.subjects[0].model_copy(deep=True, update={"recipe": recipe})
        subject.verdicts = subject.verdicts[:1] if recipe == "green" else subject.verdicts if recipe == "redder" else []
        record.subjects.append(subject)
    record.subjects[2].verdicts[0].outcome = Outcome.REGRESSION
    rows = glance(record, listed(record)).rows
    assert [(title.split(" / ")[1], anchor) for title, anchor, _ in rows] == [
        ("redder", "subject-2"),
        ("inductor", "subject-0"),
        ("green", "subject-1"),
        ("bare", "subject-3"),
    ]


def test_tally_of_one_recipe_names_its_gates(full_record: Record) -> None:
    """Which gate came to what stands above the reasons, which can be long; of several recipes a table tells it."""
    assert '<li class="REGRESSION">1 REGRESSION: <a href="#verdict-0">memory</a></li>' in render_html(full_record)
    full_record.subjects.append(full_record.subjects[0].model_copy(update={"recipe": "other"}))
    assert '<li class="REGRESSION">2 REGRESSION</li>' in render_html(full_record)


def test_page_of_a_huge_run_is_bounded(full_record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures of the reddest recipe and plots of it are shown; of the others it is said that they are left out."""
    monkeypatch.setattr("nearlossless.report.html.MOST_PICTURES", 3)
    monkeypatch.setattr("nearlossless.report.html.MOST_PLOTTED", 1)
    green = full_record.subjects[0].model_copy(update={"recipe": "green"}, deep=True)
    green.verdicts = green.verdicts[:1]
    full_record.subjects.insert(0, green)
    page = render_html(full_record)
    assert page.count('<li class="card') == 3
    assert "1 pictures more, more alike or of a greener recipe" in page
    assert page.count("Plots are drawn of the 1 reddest recipes only") == 1


def test_recipes_of_a_case_stand_side_by_side(full_record: Record) -> None:
    """One table a case: one baseline column, and for each recipe its figure and change."""
    other = full_record.subjects[0].model_copy(deep=True)
    other.recipe, other.speeds.compiled_s = "other", [2.1, 2.1, 2.1]
    found = matrix([full_record.subjects[0], other])
    row = next(row for row in found.main if row.label == "End-to-end time")
    assert found.recipes == ["inductor", "other"]
    assert row.baseline == "1.050 s"
    assert [(cell.compiled, cell.change, cell.verdict) for cell in row.recipes] == [
        ("0.700 s", "-33.3%", "better"),
        ("2.100 s", "+100.0%", "worse"),
    ]
    assert {row.label for row in found.phases} >= {"Text encoding", "Denoising", "Decoding"}


@pytest.mark.parametrize(("pairs", "shown"), [(12, "[-50.0%, -50.0%]"), (1, ""), (0, "")])
def test_interval_is_of_the_time(full_record: Record, pairs: int, shown: str) -> None:
    """The end-to-end time's change has an interval where there are pairs for one; an unbounded one is not shown."""
    subject = full_record.subjects[0]
    subject.sampling, subject.speeds = Sampling(), Speeds(baseline_s=[1.0] * pairs, compiled_s=[0.5] * pairs)
    row = next(row for row in matrix([subject]).main if row.label == "End-to-end time")
    assert row.recipes[0].interval == shown
    assert ("In brackets: the interval" in render_html(full_record)) is bool(shown)


def test_phases_of_pairs_have_intervals_of_their_change(full_record: Record) -> None:
    """Decoding that takes half the time, pair by pair, has a change with an interval around it; a start has none."""
    subject = full_record.subjects[0]
    subject.sampling = Sampling(min_pairs=5)
    slow = [phase_times(decoding_s=0.2 + number / 1000) for number in range(12)]
    fast = [phase_times(decoding_s=0.1 + number / 2000) for number in range(12)]
    subject.speeds = Speeds(baseline_s=[1.0] * 12, compiled_s=[1.0] * 12, baseline_phases=slow, compiled_phases=fast)
    found = matrix([subject])
    cells = {row.label: row.recipes[0] for row in (*found.main, *found.phases)}
    assert (cells["Decoding"].change, cells["Decoding"].interval) == ("-50.0%", "[-50.0%, -50.0%]")
    assert cells["Iteration speed"].interval == "[+0.0%, +0.0%]"
    assert (cells["Cold start"].interval, cells["Peak memory"].interval) == ("", "")
    assert "[-50.0%, -50.0%]" in render_html(full_record)


@pytest.mark.parametrize(("compiled_s", "verdict"), [((0.5, 0.6), "better"), ((2.0, 2.1), "worse"), ((0.5, 1.9), "")])
def test_change_that_may_be_none_has_no_colour(
    full_record: Record, compiled_s: tuple[float, float], verdict: str
) -> None:
    """Green and red are for changes whose interval lies on one side of no change."""
    subject = full_record.subjects[0]
    subject.sampling, subject.speeds = Sampling(), Speeds(baseline_s=[1.0] * 12, compiled_s=[*compiled_s] * 6)
    row = next(row for row in matrix([subject]).main if row.label == "End-to-end time")
    assert (row.recipes[0].verdict, bool(row.recipes[0].interval)) == (verdict, True)


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


def test_history_is_plotted_of_comparable_runs(full_record: Record) -> None:
    """Two runs on this device make a line; runs on another one or of another recipe do not."""
    pytest.importorskip("matplotlib")
    runs = [run(full_record, day) for day in range(3)]
    subject = full_record.subjects[0]
    assert [plot.title for plot in trend(subject, entries(*runs), "p")] == [
        "History: speedup",
        "History: compiled-latency",
        "History: peak-memory",
        "History: live-ssim",
    ]
    assert "fewer than 10 runs are not searched for changes" in trend(subject, entries(*runs), "p")[0].words
    assert trend(subject, entries(runs[0]), "p") == []
    for other in runs:
        other.subjects[0].recipe = "other"
    assert trend(subject, entries(*runs), "p") == []


def test_history_says_whether_it_was_searched(full_record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    """No change point is claimed to be absent where none was looked for."""
    pytest.importorskip("matplotlib")
    runs = entries(*(run(full_record, day) for day in range(12)))
    subject = full_record.subjects[0]
    assert trend(subject, runs, "p")[0].words.endswith("no change point found.")
    monkeypatch.setattr("nearlossless.history.findings.find_spec", lambda _: None)
    assert "changes were not looked for: pip install" in trend(subject, runs, "p")[0].words


def picture_file(folder: Path, name: str, size: tuple[int, int] = (300, 200)) -> Path:
    """A picture in a report folder."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, "teal").save(path, format="PNG")
    return path


def test_thumbnail_is_a_small_picture(tmp_path: Path) -> None:
    """It holds its picture at no more than the side of a thumbnail."""
    picture_file(tmp_path, "a.png")
    found = thumbnails(tmp_path, ["a.png", "a.png"])
    picture = Image.open(io.BytesIO(base64.b64decode(found["a.png"].partition(",")[2])))
    assert max(picture.size) == SIDE_PX
    assert picture.convert("RGB").getpixel((5, 5)) == pytest.approx((0, 128, 128), abs=6)


def test_thumbnails_never_leave_the_folder(tmp_path: Path) -> None:
    """Names with dots, absolute names and links that lead out have no thumbnail; neither has what is no picture."""
    inside, outside = tmp_path / "report", picture_file(tmp_path, "secret.png")
    inside.mkdir()
    (inside / "link.png").symlink_to(outside)
    (inside / "text.png").write_text("no picture", encoding="utf-8")
    os.mkfifo(inside / "pipe.png")
    names = ["../secret.png", str(outside), "link.png", "text.png", "pipe.png", "absent.png", "", "."]
    assert thumbnails(inside, names) == {}
    assert thumbnails(None, ["a.png"]) == {}


@pytest.mark.parametrize(
    ("live", "foreign", "bad"),
    [(0.99, [], False), (0.9899, [], True), (float("nan"), [], True), (0.995, ["hardware: a -> b"], False)],
)
def test_scores_stand_beside_their_own_band(full_record: Record, live: float, foreign: list[str], bad: bool) -> None:
    """A figure at its threshold is good, below it or NaN it is marked; a foreign anchor is held to the foreign band."""
    subject = full_record.subjects[0]
    subject.thresholds = Thresholds(live=Band(min_ssim=0.99), stored=Band(min_ssim=0.98), foreign=Band(min_ssim=0.5))
    picture = PictureRecord(prompt="p", seed=1, height=64, width=64, live=scores(live), stored=scores(0.6))
    picture.stored_foreign = foreign
    row = next(row for row in score_rows(subject, picture) if row.name == "worst-tile SSIM")
    assert row.live_is_bad is bad
    assert row.stored_required == (">= 0.5" if foreign else ">= 0.98")
    assert row.stored_is_bad is not bool(foreign)


@pytest.mark.parametrize("outcome", ["PASS", "REGRESSION"])
def test_what_the_gate_let_pass_is_not_red(full_record: Record, outcome: str) -> None:
    """A picture beyond its band that the gate passed as chaos is marked as such; one that it did not pass is bad."""
    subject = full_record.subjects[0]
    subject.thresholds, subject.pictures = Thresholds(live=Band(min_ssim=0.9)), [subject.pictures[0]]
    check = subject.verdicts[2].checks[0]
    told = {"name": "live worst-tile SSIM", "of": "'blue ring' seed 20", "outcome": outcome}
    subject.verdicts[2].checks = [check.model_copy(update=told)]
    page = render_html(full_record)
    assert (CHAOS in page) is (outcome == "PASS")
    assert ('class="card bad' in page) is (outcome == "REGRESSION")


def test_control_characters_are_shown_by_name(full_record: Record) -> None:
    """Escape codes and marks that turn text round are visible in the page, and do nothing."""
    full_record.subjects[0].pictures[0].prompt = "red\x1b[31m \u202egnp.exe\x00"
    page = render_html(full_record)
    assert "red\\x1b[31m \\u202egnp.exe\\x00" in page
    assert not set(page) & {"\x1b", "\u202e", "\x00"}
