"""`report.html` in a real browser: it clicks through, by mouse and by keyboard, narrow and wide, light and dark."""

import io
import os
import shutil
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw, ImageStat
from tests.scores import scores

from nearlossless.baselines.expected import encode_png
from nearlossless.metrics.picture_pair import Pair
from nearlossless.metrics.pixels import Pixels
from nearlossless.metrics.scores import compare
from nearlossless.miniature.world import draw, scene_at
from nearlossless.record import Record
from nearlossless.record.quality import PictureRecord
from nearlossless.report import write_reports
from nearlossless.report.pair import write_pair_page

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM = os.environ.get("NEARLOSSLESS_CHROMIUM") or next(filter(None, map(shutil.which, PROGRAMS)), None)
IS_PROMISED = "NEARLOSSLESS_REQUIRE_CHROMIUM" in os.environ  # as CI does: no test may be skipped for want of a browser
NO_PLAYWRIGHT = "playwright is not installed: tox run -e browser"
NO_CHROMIUM = "no Chromium found: install one, or name it in NEARLOSSLESS_CHROMIUM"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("playwright") is None and not IS_PROMISED, reason=NO_PLAYWRIGHT),
    pytest.mark.skipif(CHROMIUM is None and not IS_PROMISED, reason=NO_CHROMIUM),
]
SIZES = [(390, 844), (1440, 900)]
EVIL = "<img src=x onerror=alert(1)>\x1b[31m\u202e"
LOAD_MS = 2000
MARK_XY, MARK_PX = (96, 16), 16  # what the obtained picture has and the others lack
Open = Callable[..., Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium."""
    assert find_spec("playwright") is not None, NO_PLAYWRIGHT
    assert CHROMIUM is not None, NO_CHROMIUM
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        running = play.chromium.launch(executable_path=CHROMIUM)
        yield running
        running.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Open]:
    """Opens a file in a window of its own; whatever the page complains of fails the test at its end."""
    complaints: list[str] = []
    contexts = []

    def open_file(path: Path, size: tuple[int, int] = SIZES[1], **settings: str) -> Any:
        context = browser.new_context(viewport={"width": size[0], "height": size[1]}, **settings)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
        page.goto(path.as_uri())
        return page

    yield open_file
    for context in contexts:
        context.close()
    assert complaints == []


def marked(picture: Image.Image) -> Image.Image:
    """The picture with a white square."""
    other = picture.copy()
    x, y = MARK_XY
    ImageDraw.Draw(other).rectangle((x, y, x + MARK_PX - 1, y + MARK_PX - 1), fill="white")
    return other


def write_report(record: Record, folder: Path, count: int = 2) -> Path:
    """A report of `count` pictures, whose obtained ones have a white square; the first prompt is markup."""
    (folder / "pictures").mkdir(parents=True)
    subject = record.subjects[0]
    subject.pictures = []
    for number in range(count):
        kind = number % 20
        expected = draw(scene_at(kind))
        files = {name: f"pictures/{kind} #{name}.png" for name in ("expected", "baseline", "obtained")}
        for name, file in files.items():
            if not (folder / file).exists():
                (folder / file).write_bytes(encode_png(marked(expected) if name == "obtained" else expected))
        found = scores(0.1 + number / 1e4, worst_tile_xywh=(*MARK_XY, MARK_PX, MARK_PX))
        subject.pictures.append(
            PictureRecord(
                prompt=EVIL if number == 0 else f"picture {number}",
                seed=number,
                height=expected.height,
                width=expected.width,
                live=found,
                stored=found,
                **{f"{name}_file": file for name, file in files.items()},
            )
        )
    write_reports(record, folder)
    return folder / "report.html"


@pytest.fixture
def report(full_record: Record, tmp_path: Path) -> Path:
    """A report with two pictures and everything else that a record can hold."""
    return write_report(full_record, tmp_path / "report")


def stage_picture(page: Any) -> Image.Image:
    """What the viewer shows, without the outline of the worst tile."""
    page.evaluate("document.querySelector('.stage .tile').style.display = 'none'")
    page.wait_for_function("[...document.querySelectorAll('.stage img')].every(i => i.complete && i.naturalWidth)")
    return Image.open(io.BytesIO(page.locator(".stage").screenshot())).convert("RGB")


def at_mark(picture: Image.Image) -> tuple[int, int]:
    """The middle of the white square, where the whole picture is shown."""
    x, y = ((start + MARK_PX / 2) / 128 for start in MARK_XY)
    return round(x * picture.width), round(y * picture.height)


def brightness(picture: Image.Image, place: tuple[int, int]) -> float:
    """Of one pixel, from 0 to 255."""
    x, y = place
    return ImageStat.Stat(picture.crop((x, y, x + 1, y + 1)).convert("L")).mean[0]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES, ids=["phone", "desktop"])
def test_nothing_sticks_out(report: Path, open_page: Open, size: tuple[int, int], scheme: str) -> None:
    """With everything unfolded and the viewer open, nothing is wider than the window."""
    page = open_page(report, size, color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    page.locator(".open").first.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    assert page.locator("#viewer").bounding_box()["width"] <= size[0]


@pytest.mark.parametrize("size", SIZES, ids=["phone", "desktop"])
def test_verdicts_of_several_recipes_fit(full_record: Record, tmp_path: Path, open_page: Open, size: Any) -> None:
    """At a glance nothing is out of sight, and no outcome runs into the name of its gate."""
    full_record.subjects.append(full_record.subjects[0].model_copy(update={"recipe": "inductor-float8"}))
    write_reports(full_record, tmp_path)
    page = open_page(tmp_path / "report.html", size)
    out_of_sight = "[...document.querySelectorAll('.glance')].filter(t => t.scrollWidth > t.parentElement.clientWidth)"
    assert page.evaluate(f"{out_of_sight}.length") == 0
    places = page.evaluate(
        "[...document.querySelectorAll('.verdicts summary')].map(s => ['.outcome', '.gate'].map(c => {"
        "const range = document.createRange(); range.selectNodeContents(s.querySelector(c));"
        "const box = range.getBoundingClientRect(); return [box.left, box.right]; }))"
    )
    assert len(places) == 10
    assert all(outcome[1] < gate[0] for outcome, gate in places)


def test_slider_uncovers_by_keyboard(report: Path, open_page: Open) -> None:
    """The arrow keys move the line: right of it the obtained picture's mark shows, left of it the baseline has none."""
    page = open_page(report)
    page.locator(".open").first.click()
    page.locator(".range").focus()
    page.keyboard.press("Home")
    shown = stage_picture(page)
    assert shown.getpixel(at_mark(shown)) == (255, 255, 255)
    page.keyboard.press("End")
    shown = stage_picture(page)
    assert shown.getpixel(at_mark(shown)) != (255, 255, 255)


def test_slider_follows_the_mouse(report: Path, open_page: Open) -> None:
    """Dragging over the picture moves the line to the pointer."""
    page = open_page(report)
    page.locator(".open").first.click()
    box = page.locator(".stage").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] / 2)
    page.mouse.up()
    assert float(page.locator(".range").input_value()) == pytest.approx(25, abs=1)


def test_flicker_shows_one_and_then_the_other(report: Path, open_page: Open) -> None:
    """Swapping shows baseline and obtained in turn, and the line below says which."""
    page = open_page(report, reduced_motion="reduce")
    page.locator(".open").first.click()
    page.locator("[data-mode=flicker]").click()
    shown = stage_picture(page)
    assert page.locator(".legend").inner_text() == "Shown: baseline"
    assert shown.getpixel(at_mark(shown)) != (255, 255, 255)
    page.locator("#swap").click()
    shown = stage_picture(page)
    assert page.locator(".legend").inner_text() == "Shown: obtained"
    assert shown.getpixel(at_mark(shown)) == (255, 255, 255)


def test_flicker_plays_unless_motion_is_unwanted(report: Path, open_page: Open) -> None:
    """It starts by itself, and not where the system asks for calm."""
    for wish, playing in (("no-preference", "true"), ("reduce", "false")):
        page = open_page(report, reduced_motion=wish)
        page.locator(".open").first.click()
        page.locator("[data-mode=flicker]").click()
        assert page.locator("#play").get_attribute("aria-pressed") == playing


def test_difference_is_black_but_where_they_differ(report: Path, open_page: Open) -> None:
    """The heatmap is black where the pictures are equal, and bright on the mark."""
    page = open_page(report)
    page.locator(".open").first.click()
    page.locator("[data-mode=difference]").click()
    shown = stage_picture(page)
    assert brightness(shown, at_mark(shown)) > 100
    assert shown.getpixel((shown.width // 4, shown.height * 3 // 4)) == (0, 0, 0)


def test_zoom_fills_the_stage_with_the_worst_tile(report: Path, open_page: Open) -> None:
    """The outlined tile takes half of the stage, wholly inside it."""
    page = open_page(report)
    page.locator(".open").first.click()
    page.locator("#zoom").click()
    stage, tile = (page.locator(selector).bounding_box() for selector in (".stage", ".stage .tile rect"))
    assert tile["width"] == pytest.approx(stage["width"] / 2, rel=0.05)
    assert stage["x"] - 1 <= tile["x"] < tile["x"] + tile["width"] <= stage["x"] + stage["width"] + 1


def test_viewer_works_without_a_mouse(report: Path, open_page: Open) -> None:
    """The first stop is the link past the header; Enter opens the viewer, Escape closes it and focus comes back."""
    page = open_page(report)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.locator(".open").nth(1).focus()
    page.keyboard.press("Enter")
    assert page.locator("#viewer").is_visible()
    assert page.evaluate("document.querySelector('#viewer').contains(document.activeElement)")
    page.keyboard.press("Escape")
    assert not page.locator("#viewer").is_visible()
    assert page.evaluate("document.activeElement === document.querySelectorAll('.open')[1]")


def test_viewer_goes_from_picture_to_picture(report: Path, open_page: Open) -> None:
    """Next and previous change the picture, and markup in a prompt stays text."""
    page = open_page(report)
    page.locator(".open").first.click()
    assert "<img src=x onerror=alert(1)>" in page.locator("#viewer-title").inner_text()
    page.locator("#next").click()
    assert "picture 1" in page.locator("#viewer-title").inner_text()
    page.locator("#previous").click()
    assert "<img" in page.locator("#viewer-title").inner_text()


def test_theme_is_switched_and_kept(report: Path, open_page: Open) -> None:
    """The button turns a light page dark, also after a reload."""
    page = open_page(report, color_scheme="light")
    paper = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(paper)
    page.locator("#theme").click()
    dark = page.evaluate(paper)
    page.reload()
    assert light != dark == page.evaluate(paper)
    assert page.locator("#theme").get_attribute("aria-pressed") == "true"


def test_everything_has_a_name(report: Path, open_page: Open) -> None:
    """Pictures have a text, controls a name, ids are unique, and headings leave out no level."""
    page = open_page(report)
    page.locator(".open").first.click()
    assert page.locator("img:not([alt])").count() == 0
    assert page.locator("svg:not([aria-label]):not([aria-hidden])").count() == 0
    assert page.locator("main, header").count() >= 2
    unreachable = "[...document.querySelectorAll('.wide')].filter(w => w.tabIndex < 0 || !w.ariaLabel).length"
    assert page.evaluate(unreachable) == 0  # what scrolls sideways can be reached and has a name
    assert page.locator("th:empty").count() == 0
    nameless = "[...document.querySelectorAll('button')].filter(b => !b.textContent.trim()).length"
    assert page.evaluate(nameless) == 0
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(each => each.id)")
    assert len(ids) == len(set(ids))
    levels = page.evaluate("[...document.querySelectorAll('main :is(h2,h3,h4,h5)')].map(h => Number(h.tagName[1]))")
    assert all(after - before <= 1 for before, after in zip([1, *levels], levels, strict=False))


def test_page_alone_shows_thumbnails(report: Path, open_page: Open, browser: Any) -> None:
    """Sent without its pictures, the page shows thumbnails in the viewer and says so."""
    alone = report.parent.parent / "alone.html"
    alone.write_bytes(report.read_bytes())
    page = browser.new_page()  # a missing file is told on its console
    page.goto(alone.as_uri())
    page.locator(".open").first.click()
    page.wait_for_selector("#missing:not([hidden])")
    shown = stage_picture(page)
    assert len(set(shown.getdata())) > 100
    page.close()


def test_500_pictures_load_in_two_seconds(full_record: Record, tmp_path: Path, open_page: Open) -> None:
    """A page of 500 pictures is there in two seconds, and loads no file before one is asked for."""
    path = write_report(full_record, tmp_path / "large", count=500)
    page = open_page(path)
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    page.reload()
    milliseconds = page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
    assert 0 < milliseconds < LOAD_MS
    assert page.locator(".card").count() == 500
    files = [url for url in requested if url.endswith(".png")]
    assert files == []
    page.locator(".open").first.click()
    page.wait_for_function("document.querySelector('.stage img').naturalWidth === 128")
    assert [url for url in requested if url.endswith(".png")] != []


@pytest.mark.parametrize("size", SIZES, ids=["phone", "desktop"])
def test_two_pictures_by_hand(tmp_path: Path, open_page: Open, size: tuple[int, int]) -> None:
    """The page of `nearlossless compare` has the same viewer, and no other file."""
    expected = draw(scene_at(0))
    obtained = marked(expected)
    pair = Pair(expected=expected, obtained=obtained, scores=compare(Pixels(obtained), Pixels(expected)))
    write_pair_page(pair, ("a.png", EVIL), tmp_path / "pair.html")
    page = open_page(tmp_path / "pair.html", size)
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    page.locator(".open").click()
    page.locator("[data-mode=difference]").click()
    shown = stage_picture(page)
    assert brightness(shown, at_mark(shown)) > 100
