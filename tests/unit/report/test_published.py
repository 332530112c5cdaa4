"""Published figures beside our own."""

import re
from collections.abc import Callable
from datetime import date

import pytest
from tests.unit.report.rendering import EVIL, Tags, plain_console

from nearlossless.cases.references import Figures, Reference
from nearlossless.record import Record
from nearlossless.report.html import render_html
from nearlossless.report.markdown import render_markdown
from nearlossless.report.published import labels, published
from nearlossless.report.table import performance_rows


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
