"""The page: everything in it is escaped, nothing is loaded from elsewhere, and a huge run stays bounded."""

import html
import re
from urllib.parse import unquote

import pytest
from tests.scores import scores
from tests.unit.report.rendering import EVIL, Tags

from nearlossless.record import Record
from nearlossless.record.quality import PictureRecord
from nearlossless.report.html import render_html


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


def test_control_characters_are_shown_by_name(full_record: Record) -> None:
    """Escape codes and marks that turn text round are visible in the page, and do nothing."""
    full_record.subjects[0].pictures[0].prompt = "red\x1b[31m \u202egnp.exe\x00"
    page = render_html(full_record)
    assert "red\\x1b[31m \\u202egnp.exe\\x00" in page
    assert not set(page) & {"\x1b", "\u202e", "\x00"}


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


def test_page_shows_what_the_recipe_did(full_record: Record) -> None:
    """Compiled graphs, quantized layers by component and the backend's kernels stand in the page's details."""
    page = render_html(full_record)
    assert '<th scope="row">graphs compiled for the first call</th><td>3</td>' in page
    assert '<th scope="row">quantized layers of transformer</th><td>45</td>' in page
    assert "triton_poi_fused_gelu_0" in page
