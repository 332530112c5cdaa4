"""The noise floor of a machine in its reports."""

import re

from tests.scores import scores

from nearlossless.cases.thresholds import Band, Thresholds
from nearlossless.record import Record
from nearlossless.report.html import render_html
from nearlossless.report.markdown import render_markdown
from nearlossless.report.noise import floor_rows


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
