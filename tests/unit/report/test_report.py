"""Markdown, console and HTML reports of a record."""

import html
import re
from collections.abc import Callable
from datetime import date
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from tests.scores import scores
from tests.unit.conftest import phase_times

from nearlossless.cases.references import Figures, Reference
from nearlossless.cases.thresholds import Band, Thresholds
from nearlossless.memory.driver import BeyondTorch
from nearlossless.memory.leaks import Rounds
from nearlossless.processes.job import ProcessRun
from nearlossless.record import Record
from nearlossless.record.quality import ParityRecord, PictureRecord
from nearlossless.record.shapes import SizeRecord
from nearlossless.record.speed import Samples
from nearlossless.report import write_reports
from nearlossless.report.console import render_console, render_table
from nearlossless.report.html import render_html
from nearlossless.report.markdown import render_markdown
from nearlossless.report.noise import floor_rows
from nearlossless.report.published import labels, published
from nearlossless.report.starts import start_rows
from nearlossless.report.table import HEADINGS, Row, performance_rows

EVIL = '<script>alert("x")</script><img src=x onerror=alert(1)>'
OUTCOMES = ("PASS", "REGRESSION", "INCONCLUSIVE", "NOT_COMPARABLE", "NOT_APPLICABLE")
ESCAPE = "\x1b"


def plain_console(record: Record) -> str:
    """The console report without colours."""
    return render_console(record, width=100, colour=False)


def with_reason(record: Record, reason: str) -> Record:
    """The record with this reason in its first verdict."""
    record.subjects[0].verdicts[0].reason = reason
    return record


class Tags(HTMLParser):
    """Collects what a browser would take for tags and addresses."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[str] = []
        self.addresses: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep one tag."""
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]
        self.addresses += [value or "" for name, value in attrs if name in {"src", "href"}]


@pytest.mark.parametrize("render", [render_html, render_markdown, plain_console])
@pytest.mark.parametrize("outcome", OUTCOMES)
def test_every_outcome_is_shown(full_record: Record, render: Callable[[Record], str], outcome: str) -> None:
    """Each kind of outcome stands in each report with its reason."""
    text = render(full_record)
    assert outcome in text
    assert f"reason of {outcome}" in text


@pytest.mark.parametrize("render", [render_html, render_markdown, plain_console])
def test_subject_is_named_with_its_hardware(full_record: Record, render: Callable[[Record], str]) -> None:
    """Each report names case, recipe, device and hardware."""
    text = render(full_record)
    assert "miniature / inductor / cpu" in text
    assert "cpu-avx2" in text


@pytest.mark.parametrize("render", [render_html, render_markdown, plain_console])
def test_bare_subject_can_be_shown(full_record: Record, render: Callable[[Record], str]) -> None:
    """A subject whose first measurement failed has no fingerprint, no figures and no pictures, and is shown."""
    subject = full_record.subjects[0]
    subject.fingerprint = subject.baseline_process = subject.cold_process = subject.warm_process = None
    subject.speeds = type(subject.speeds)()
    subject.pictures, subject.sizes, subject.parity = [], [], ParityRecord()
    assert "reason of REGRESSION" in render(full_record)


@pytest.mark.parametrize("render", [render_html, render_markdown, plain_console])
def test_empty_record_can_be_shown(full_record: Record, render: Callable[[Record], str]) -> None:
    """A record without subjects is no error."""
    full_record.subjects = []
    assert isinstance(render(full_record), str)


@pytest.mark.parametrize("field", ["prompt", "reason", "command", "stored_problem", "problem", "parity", "file"])
def test_html_escapes_what_others_wrote(full_record: Record, field: str) -> None:
    """Markup in prompts, reasons, commands, problems and file names stays text."""
    subject = full_record.subjects[0]
    if field == "prompt":
        subject.pictures[0].prompt = EVIL
        subject.pictures[0].obtained_file = "a.png"
    elif field == "reason":
        subject.verdicts[0].reason = EVIL
    elif field == "command":
        full_record.command = EVIL
    elif field == "stored_problem":
        subject.pictures[1].stored_problem = EVIL
    elif field == "parity":
        subject.parity.divergence = EVIL
    elif field == "problem":
        subject.sizes[0].problems = [EVIL]
    else:
        subject.pictures[0].obtained_file = f'"{EVIL}'
    page = render_html(full_record)
    found = Tags(page)
    assert found.tags.count("script") == 1  # the page's own, whose hash its policy names
    assert "onerror" not in found.attributes
    assert "alert(" in unquote(html.unescape(page))


def test_html_loads_nothing_from_elsewhere(full_record: Record) -> None:
    """The page opens offline: a policy that allows its own script and style only, and addresses of files beside it."""
    full_record.subjects[0].pictures[0].obtained_file = "pictures/a.png"
    page = render_html(full_record)
    found = Tags(page)
    assert not {"link", "iframe", "object", "base"} & set(found.tags)
    assert [address for address in found.addresses if not address.startswith("#")] == ["pictures/a.png"]
    assert set(re.findall(r"url\([^)]*\)", page)) <= {"url(#heat)"} | set(re.findall(r"url\(#subject-0-[^)]*\)", page))
    assert "@import" not in page
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    assert "default-src &#39;none&#39;" in policy
    assert "unsafe" not in policy


def test_html_shows_the_worst_first(full_record: Record) -> None:
    """Regressions come before passes, and the least alike picture before the others."""
    subject = full_record.subjects[0]
    subject.pictures = [
        PictureRecord(prompt=f"picture {value}", seed=1, height=64, width=64, live=scores(value))
        for value in (0.9, 0.2, 0.5)
    ]
    page = render_html(full_record)
    assert page.index("reason of REGRESSION") < page.index("reason of PASS")
    assert page.index("picture 0.2") < page.index("picture 0.5") < page.index("picture 0.9")


def test_html_shows_a_score_without_its_anchor(full_record: Record) -> None:
    """A picture whose own score is known and the baseline's is not can be shown."""
    full_record.subjects[0].pictures[0].obtained_clip = 25.0
    assert "25.00" in render_html(full_record)


def test_html_shows_sizes_as_width_by_height(full_record: Record) -> None:
    """A size of height 64 and width 128 is 128x64, with what else differs, both pipelines' times and its problem."""
    size = full_record.subjects[0].sizes[0]
    size.variation, size.baseline_s, size.compiled_s = "2 pictures", [0.5], [0.2]
    cells = ("0.250 s", "0.500 s", "0.200 s", "2.50x", "1", "drew a black picture")
    row = '<tr><th scope="row">128x64, 2 pictures</th>' + "".join(f"<td>{cell}</td>" for cell in cells)
    assert row in render_html(full_record)


def test_html_shows_parity_step_by_step(full_record: Record) -> None:
    """Each step has a row, counted from one, with its figures or its problem, and the diverging block stands below."""
    page = html.unescape(render_html(full_record))
    assert "Step parity at 2 steps, errors against float64" in page
    assert '<th scope="row">1</th><td>1e-07</td><td>0.00125</td><td>1.25e+04</td>' in page
    assert '<th scope="row">28</th>' in page
    assert "NaN or Inf at other places than the baseline's: 1 of 8" in page
    assert "first diverges in transformer_blocks.2" in page


@pytest.mark.parametrize(
    "evil",
    [EVIL, "a | b | c", "line\nbreak", "carriage\rreturn", "`code", "back\\slash", "</td></tr></table>"],
    ids=["markup", "pipe", "newline", "return", "backtick", "backslash", "table"],
)
def test_markdown_keeps_text_in_its_cell(full_record: Record, evil: str) -> None:
    """Whatever a reason says, it stays one cell of one row, and no tag of it is left."""
    text = render_markdown(with_reason(full_record, evil))
    row = next(line for line in re.split(r"[\r\n]", text) if line.startswith("| 🟢 PASS | speedup"))
    assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", row)) == 5
    assert row.endswith(" |")
    assert not re.search(r"<(?!br>)[a-z/]", text)


def test_markdown_escapes_titles(full_record: Record) -> None:
    """A recipe that is called like a tag is text in the heading, too."""
    full_record.subjects[0].recipe = EVIL
    assert not re.search(r"<[a-z/]", render_markdown(full_record))


def test_markdown_has_no_empty_table(full_record: Record) -> None:
    """A run of the quality gate alone measures no performance: its summary has no table of it."""
    heading = "|  | baseline | compiled | change |"
    assert heading in render_markdown(full_record)
    subject = full_record.subjects[0]
    subject.baseline_process = subject.cold_process = subject.warm_process = None
    subject.speeds = type(subject.speeds)()
    assert heading not in render_markdown(full_record)


def test_markdown_cuts_endless_reasons(full_record: Record) -> None:
    """A reason of many thousand characters leaves a table that can be read."""
    text = render_markdown(with_reason(full_record, "x" * 50_000))
    assert len(text) < 5_000
    assert "…" in text


def test_console_without_colour_has_no_escape_codes(full_record: Record) -> None:
    """A plain log stays plain."""
    assert ESCAPE not in plain_console(full_record)


def test_console_with_colour_has_escape_codes(full_record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal outcomes have colours."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    assert ESCAPE in render_console(full_record, width=100, colour=True)


def test_no_color_wins_over_a_terminal(full_record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    """With NO_COLOR set there are no escape codes, even on a terminal and with FORCE_COLOR."""
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert ESCAPE not in render_console(full_record, width=100, colour=True)


def test_forced_colour_does_not_reach_plain_logs(full_record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the caller wants no colour, FORCE_COLOR brings none back."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert ESCAPE not in plain_console(full_record)


@pytest.mark.parametrize("part", ["case", "hardware", "gate", "reason"])
def test_console_names_escape_codes_of_others(full_record: Record, part: str) -> None:
    """Escape codes of a stranger's record, or in a reason from a coloured traceback, do not reach the terminal."""
    subject, evil = full_record.subjects[0], "\x1b[2Jred\x1b[0m \x1b]0;title\x07"
    assert subject.fingerprint is not None
    if part == "case":
        subject.case = evil
    elif part == "hardware":
        picture = subject.fingerprint.picture.model_copy(update={"hardware": evil})
        timing = subject.fingerprint.timing.model_copy(update={"picture": picture})
        subject.fingerprint = subject.fingerprint.model_copy(update={"timing": timing})
    else:
        setattr(subject.verdicts[0], part, evil)
    plain = plain_console(full_record)
    assert r"\x1b[2Jred" in plain
    assert ESCAPE not in plain
    assert "\x1b[2J" not in render_console(full_record, width=100, colour=True)


def test_table_names_escape_codes_of_its_title() -> None:
    """A title is a case's, a recipe's or a machine's name, which a record tells."""
    table = render_table([], title="mini\x1b[2J", colour=False)
    assert r"mini\x1b[2J" in table
    assert ESCAPE not in table


def test_console_takes_brackets_for_text(full_record: Record) -> None:
    """What looks like the console library's own markup is shown as it is."""
    assert "[bold]loud[/bold]" in plain_console(with_reason(full_record, "[bold]loud[/bold]"))


def test_console_does_not_wrap_reasons(full_record: Record) -> None:
    """A reason stays on one line, so that it can be searched for."""
    reason = "word " * 80 + "end"
    assert reason in plain_console(with_reason(full_record, reason))


def test_table_has_its_rows_and_headings() -> None:
    """A single table shows its title, the headings and each row's cells."""
    rows = [Row(label="End-to-end time", unit="s", baseline=2.0, compiled=1.5, digits=3)]
    text = render_table(rows, title="miniature / inductor / cpu", colour=False)
    for part in ("miniature / inductor / cpu", *HEADINGS[1:], "End-to-end time", "2.000 s", "1.500 s", "-25.0%"):
        assert part in text


@pytest.mark.parametrize(
    ("baseline", "compiled", "change"),
    [(2.0, 1.5, "-25.0%"), (1.0, 1.5, "+50.0%"), (None, 1.5, "-"), (1.0, None, "-"), (0.0, 1.5, "-")],
)
def test_change_is_of_the_baseline(baseline: float | None, compiled: float | None, change: str) -> None:
    """The change is in percent of the baseline, and nothing where one side is missing or zero."""
    assert Row(label="x", unit="s", baseline=baseline, compiled=compiled).cells()[3] == change


def test_table_takes_medians_and_sums(full_record: Record) -> None:
    """The end-to-end time is the median of the pairs, starts are load and first call."""
    rows = {row.label: row for row in performance_rows(full_record.subjects[0])}
    assert (rows["End-to-end time"].baseline, rows["End-to-end time"].compiled) == (1.05, 0.7)
    assert rows["Cold start"].compiled == 3.0
    assert rows["Peak memory"].baseline == 1000 / 1024**3


@pytest.mark.parametrize("render", [render_html, render_markdown, plain_console])
def test_each_start_is_told_apart(full_record: Record, render: Callable[[Record], str]) -> None:
    """Every report has load, first call and steady call of each process, and its cache lookups where counted."""
    rows = start_rows(full_record.subjects[0])
    assert [row[0] for row in rows] == ["baseline", "cold", "warm", "artifact"]
    assert rows[2] == ("warm", "1.00 s", "2.00 s", "0.50 s", "7 hits, 0 misses, 2 bypasses", "-")
    text = render(full_record)
    assert "7 hits" in text
    assert "1.50 s" in text


def test_table_takes_the_median_over_processes(full_record: Record) -> None:
    """Of several processes no single one's figures stand beside an interval over all of them."""
    speeds = full_record.subjects[0].speeds
    speeds.replicas = [
        Samples(
            baseline_s=[1.0] * 3,
            compiled_s=[seconds] * 3,
            baseline_phases=[phase_times()] * 3,
            compiled_phases=[phase_times(later_steps_s=seconds)] * 3,
        )
        for seconds in (0.9, 0.8)
    ]
    speeds.compiled_phases = [phase_times(later_steps_s=0.1)] * 3
    rows = {row.label: row for row in performance_rows(full_record.subjects[0])}
    assert (rows["End-to-end time"].baseline, rows["End-to-end time"].compiled) == (1.0, 0.8)
    assert rows["Iteration speed"].compiled == pytest.approx(27 / 0.8)  # of 270, 30 and 33.75


def test_table_leaves_out_what_was_set_aside(full_record: Record) -> None:
    """A pair that no verdict counts is in no figure of the table either."""
    speeds = full_record.subjects[0].speeds
    pairs = len(speeds.compiled_s)
    speeds.baseline_s, speeds.compiled_s = [1.0] * (pairs - 1) + [99.0], [0.5] * (pairs - 1) + [88.0]
    speeds.baseline_phases = [phase_times()] * (pairs - 1) + [phase_times(decoding_s=9.0)]
    speeds.set_aside = [None] * (pairs - 1) + ["throttled"]
    speeds.baseline_s[0] = speeds.compiled_s[0] = 2.0
    rows = {row.label: row for row in performance_rows(full_record.subjects[0])}
    assert (rows["End-to-end time"].baseline, rows["End-to-end time"].compiled) == (1.5, 1.25)
    assert rows["Decoding"].baseline == 0.2


def test_table_falls_back_to_the_processes(full_record: Record) -> None:
    """Without pairs the steady calls of the processes give the end-to-end time."""
    subject = full_record.subjects[0]
    subject.speeds = type(subject.speeds)()
    rows = {row.label: row for row in performance_rows(subject)}
    assert rows["End-to-end time"].baseline == 0.5


def test_reports_are_written_beside_each_other(full_record: Record, tmp_path: Path) -> None:
    """A report folder holds summary and page."""
    write_reports(full_record, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"summary.md", "report.html"}


def with_references(record: Record, *recipes: str, **changes: str) -> Record:
    """The record of a case with published figures of an NVIDIA H20, one set for each recipe."""
    texts = {"source": "https://example.org/table", "note": "on another processor", "command": "python draw.py"}
    record.subjects[0].references = {
        "NVIDIA H20": tuple(
            Reference.model_validate(
                {
                    **texts,
                    **changes,
                    "measured": date(2024, 11, 22),
                    "recipe": recipe,
                    "baseline": Figures(out_of_memory=True),
                    "compiled": Figures(steps_per_s=1.82, latency_s=15.99, peak_gib=28.524, warm_first_call_s=17.29),
                }
            )
            for recipe in recipes
        )
    }
    return record


@pytest.mark.parametrize("render", [render_html, render_markdown, plain_console])
def test_published_figures_stand_in_every_report(full_record: Record, render: Callable[[Record], str]) -> None:
    """Each report shows GPU, date, source and figures of a reference, and that it was another machine."""
    text = render(with_references(full_record, "inductor"))
    for part in ("NVIDIA H20", "published 2024-11-22", "another machine", "https://example.org/table"):
        assert part in text
    for figure in ("1.82 it/s", "15.99 s", "28.524 GiB", "17.29 s", "OOM"):
        assert figure in text


def test_published_figures_share_our_labels(full_record: Record) -> None:
    """A reference's figures stand under the labels of our own rows, in their order."""
    columns = published(with_references(full_record, "inductor").subjects[0])
    ours = [row.label for row in performance_rows(full_record.subjects[0])]
    assert labels(columns) == ["Iteration speed", "End-to-end time", "Peak memory", "Warm first call"]
    assert [label for label in ours if label in labels(columns)] == labels(columns)


def test_published_figures_are_aligned_in_the_page(full_record: Record) -> None:
    """In the page the published peak stands in the row of ours, even where the rows around it are empty."""
    page = render_html(with_references(full_record, "inductor"))
    (row,) = [line for line in page.splitlines() if ">Peak memory<" in line]
    assert re.findall(r">([^<]+)</td>", row) == ["0.000 GiB", "0.000 GiB", "+0.0%", "OOM", "28.524 GiB", "-"]


@pytest.mark.parametrize(("hardware", "is_other"), [("NVIDIA H20", False), ("NVIDIA H200", True), ("cpu-avx2", True)])
def test_reference_is_another_machines_unless_the_gpu_is_the_same(
    full_record: Record, hardware: str, is_other: bool
) -> None:
    """Only a run on the GPU that the reference names is not marked."""
    subject = with_references(full_record, "inductor").subjects[0]
    assert subject.fingerprint is not None
    picture = subject.fingerprint.picture.model_copy(update={"hardware": hardware})
    timing = subject.fingerprint.timing.model_copy(update={"picture": picture})
    subject.fingerprint = subject.fingerprint.model_copy(update={"timing": timing})
    assert ("another machine" in published(subject)[0].title) is is_other


@pytest.mark.parametrize(
    ("recipes", "shown"),
    [(("nexfort", "inductor"), ["inductor"]), (("nexfort", "nexfort-fp8"), ["nexfort", "nexfort-fp8"])],
)
def test_own_references_come_alone(full_record: Record, recipes: tuple[str, ...], shown: list[str]) -> None:
    """A recipe with references of its own shows those, one without shows all of its case."""
    columns = published(with_references(full_record, *recipes).subjects[0])
    assert [column.reference.recipe for column in columns] == shown


@pytest.mark.parametrize("field", ["source", "note", "command"])
def test_reports_escape_what_a_reference_says(full_record: Record, field: str) -> None:
    """Markup in a reference stays text in the page and in the summary."""
    record = with_references(full_record, "inductor", **{field: EVIL})
    found = Tags(render_html(record))
    assert found.tags.count("script") == 1
    assert "onerror" not in found.attributes
    assert not re.search(r"<(?!br>)[a-z/]", render_markdown(record))


@pytest.mark.parametrize("render", [render_html, render_markdown, plain_console])
def test_baseline_that_does_not_fit_is_shown(full_record: Record, render: Callable[[Record], str]) -> None:
    """The baseline's column says why it is empty, where the case says that it does not fit."""
    subject = full_record.subjects[0]
    assert "does not fit" not in render(full_record)
    subject.baseline_does_not_fit, subject.baseline_process = "too large for this machine", None
    subject.speeds.baseline_s, subject.speeds.baseline_phases = [], []
    assert "does not fit" in render(full_record)


def test_baseline_out_of_memory_is_shown(full_record: Record) -> None:
    """A baseline that was tried and ran out of memory is OOM in every row, as in published tables."""
    subject = full_record.subjects[0]
    subject.baseline_out_of_memory, subject.baseline_process = "load: CUDA out of memory", None
    subject.speeds.baseline_s, subject.speeds.baseline_phases = [], []
    assert {row.cells()[1] for row in performance_rows(subject) if row.is_measured} == {"OOM"}


def test_peaks_by_phase_stand_below_the_peak(full_record: Record) -> None:
    """Each phase that was told has a row in GiB, and so has the estimate of a GPU gate."""
    subject = full_record.subjects[0]
    labels_before = {row.label for row in performance_rows(subject) if row.is_measured}
    assert subject.cold_process is not None
    subject.cold_process.peaks.steady_phase_bytes.update({"denoising": 1024**3, "decoding": 2 * 1024**3})
    subject.estimated_gib = (28.525, 21.072)
    rows = {row.label: row.cells() for row in performance_rows(subject) if row.is_measured}
    assert set(rows) - labels_before == {"Peak, denoising", "Peak, decoding", "Peak, estimated before"}
    assert rows["Peak, denoising"][2] == "1.000 GiB"
    assert rows["Peak, estimated before"][1:3] == ("28.525 GiB", "21.072 GiB")


def test_what_memory_keeps_stands_below_the_peaks(full_record: Record, process_run: Callable[..., ProcessRun]) -> None:
    """Leak, residue and memory beyond torch's have rows, each in its unit, and dashes where nothing was measured."""
    subject = full_record.subjects[0]
    rounds = Rounds(drawn=("64x64", "96x64"), tensor_bytes=[0] * 20, host_bytes=[n * 4096 for n in range(20)])
    beyond = BeyondTorch(bytes=2**29)
    subject.cold_process = process_run(rounds=rounds, residue_bytes=3 * 2**19, beyond_torch=beyond)
    rows = {row.label: row.cells() for row in performance_rows(subject) if row.is_measured}
    assert rows["Host memory, leak a call"][1:3] == ("-", "2.0 KiB")
    assert rows["Left after deletion"][2] == "1.500 MiB"
    assert rows["GPU memory beyond torch's"][2] == "0.500 GiB"
    subject.cold_process = process_run(rounds=None, residue_bytes=None)
    labels = {row.label for row in performance_rows(subject) if row.is_measured}
    assert {"Peak, load", "Peak, first call"} <= labels
    assert not labels & {"Host memory, leak a call", "Left after deletion", "GPU memory beyond torch's"}


def test_page_shows_what_the_recipe_did(full_record: Record) -> None:
    """Compiled graphs, quantized layers by component and the backend's kernels stand in the page's details."""
    page = render_html(full_record)
    assert '<th scope="row">graphs compiled for the first call</th><td>3</td>' in page
    assert '<th scope="row">quantized layers of transformer</th><td>45</td>' in page
    assert "triton_poi_fused_gelu_0" in page


def with_noise(record: Record) -> Record:
    """The record of two compared pictures on hardware whose noise floor is known."""
    subject = record.subjects[0]
    subject.noise_floor = Band(min_ssim=0.97, max_difference=4, max_channel_shift=0.02, max_colour_difference=0.003)
    subject.thresholds = Thresholds(live=Band(min_ssim=0.99, max_p99_difference=2), stored=Band(min_ssim=0.98))
    subject.pictures[0].live = scores(0.96, p99_difference=1, channel_shift=(0.0, -0.125, 0.0))
    subject.pictures[0].stored = scores(0.95, worst_tile_psnr_db=33.3)
    subject.pictures[1].stored, subject.pictures[1].stored_foreign = scores(0.2), ["hardware: cpu-avx2 -> cpu-avx512"]
    return record


def test_floor_stands_beside_bands_and_worst_pictures(full_record: Record) -> None:
    """Each figure has floor, bands and the worst that was obtained; foreign pictures have another band and stay out."""
    rows = {row[0]: row[1:] for row in floor_rows(with_noise(full_record).subjects[0])}
    assert rows == {
        "worst-tile SSIM": ("0.97000", "0.99000", "0.96000", "0.98000", "0.95000"),
        "worst-tile PSNR, dB": ("inf", "-", "inf", "-", "33.3"),
        "p99 difference, levels": ("-", "2", "1", "-", "0"),
        "largest difference, levels": ("4", "-", "0", "-", "0"),
        "channel shift, levels": ("0.020", "-", "0.125", "-", "0.000"),
        "colour difference": ("0.00300", "-", "0.00000", "-", "0.00000"),
    }


def test_nobody_calibrated_and_no_floor_is_shown(full_record: Record) -> None:
    """Without a noise floor neither page nor summary speaks of one."""
    assert floor_rows(full_record.subjects[0]) == []
    assert "noise floor" not in render_html(full_record) + render_markdown(full_record)


def test_page_and_summary_show_the_floor(full_record: Record) -> None:
    """The table stands in both, and in the page every picture has the floor beside its own scores."""
    page, summary = render_html(with_noise(full_record)), render_markdown(full_record)
    assert "| worst-tile SSIM | 0.97000 | 0.99000 | 0.96000 | 0.98000 | 0.95000 |" in summary
    assert '<th scope="row">worst-tile SSIM</th><td>0.97000</td><td>0.99000</td>' in page
    rows = re.findall(r'<th scope="row">worst-tile SSIM</th>(.*)</tr>', page)[1:]
    assert [re.findall(r">([^<]*)</td>", row) for row in rows] == [
        ["-", "&gt;= 0.99", "0.20000", "-", "0.97000"],
        ["0.96000", "&gt;= 0.99", "0.95000", "&gt;= 0.98", "0.97000"],
    ]
    assert [row.count('class="bad"') for row in rows] == [0, 2]


def test_summary_has_latencies_by_size(full_record: Record) -> None:
    """Each call of the shapes gate is a row with its pixels, both medians and their ratio, the smallest first."""
    small = SizeRecord(height=64, width=64, variation="3 steps", compiles=0, latency_s=0.1, compiled_s=[0.1])
    large = SizeRecord(height=1000, width=1000, compiles=1, latency_s=2.0, baseline_s=[3.0, 3.0, 9.0], compiled_s=[2.0])
    full_record.subjects[0].sizes = [large, small]
    rows = [line for line in render_markdown(full_record).splitlines() if line.startswith(("| 64x64", "| 1000x1000"))]
    assert rows == [
        "| 64x64, 3 steps | 0.004 | - | 0.100 s | - | 0 |",
        "| 1000x1000 | 1.000 | 3.000 s | 2.000 s | 1.50x | 1 |",
    ]
