"""`nearlossless approve`: what is shown, what a reason takes over, and what is refused."""

import base64
import io
import re
import shutil
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from nearlossless.accepting.approval import only_approval
from nearlossless.baselines.expected import CANDIDATES, EXPECTED, picture_name, write_expected
from nearlossless.baselines.sidecars import read_sidecar
from nearlossless.cases.case import Case
from nearlossless.cli import app
from nearlossless.environment import PictureIdentity, hardware_folder
from nearlossless.miniature.world import draw, scene_at
from nearlossless.pipelines.requests import requests

PROMPTS = ("blue <b>ring</b> & {{ 7 * 7 }}", "red star")


class Desk:
    """A baselines folder with one case of two prompts, and a report with candidates."""

    def __init__(self, root: Path, shipped: Path, case: Case, identity: PictureIdentity) -> None:
        self.baselines, self.report, self.identity = root / "baselines", root / "report", identity
        case_alone = shutil.ignore_patterns("cpu*", "nvidia*")
        shutil.copytree(shipped / "miniature", self.baselines / "miniature", ignore=case_alone)
        path = self.baselines / "miniature" / "case.toml"
        text = re.sub(r"prompts = \[.*?\n\]", f"prompts = {list(PROMPTS)}", path.read_text("utf-8"), flags=re.DOTALL)
        path.write_text(text.replace("seeds = [20, 21]", "seeds = [20]"), encoding="utf-8")
        generation = case.generation.model_copy(update={"prompts": PROMPTS, "seeds": (20,)})
        self.case = case.model_copy(update={"generation": generation})
        self.names = [picture_name(request) for request in requests(generation)]
        hardware = hardware_folder(identity.hardware, identity.dtype)
        self.candidates = self.report / CANDIDATES / "miniature" / hardware / EXPECTED
        self.target = self.baselines / "miniature" / hardware / EXPECTED

    def draw(self, *scenes: int, score: float = 90.0) -> None:
        """Write candidates for the first requests."""
        for request, scene in zip(requests(self.case.generation), scenes, strict=False):
            picture = draw(scene_at(scene))
            scores = {"clip": score}
            write_expected(
                self.candidates, self.case, request, picture, identity=self.identity, stack={}, scores=scores
            )

    def run(self, *options: str) -> tuple[int, str]:
        """Exit code and output of the command line."""
        done = CliRunner().invoke(app, ["approve", str(self.report), "--baselines", str(self.baselines), *options])
        return done.exit_code, done.output

    def stored(self) -> dict[str, bytes]:
        """What lies beside the case file."""
        return {p.name: p.read_bytes() for p in self.baselines.rglob("*") if p.is_file() and p.name != "case.toml"}

    def page(self) -> str:
        """The page with the pictures."""
        return (self.report / "approval.html").read_text(encoding="utf-8")


@pytest.fixture
def desk(tmp_path: Path, shipped_baselines: Path, miniature_case: Case, identity: PictureIdentity) -> Desk:
    """Nothing stored, two candidates."""
    desk = Desk(tmp_path, shipped_baselines, miniature_case, identity)
    desk.draw(0, 1)
    return desk


def test_without_a_reason_all_is_shown_and_nothing_written(desk: Desk) -> None:
    """Without --reason table and page are there, the program ends with code 2 and tells how to accept."""
    code, output = desk.run()
    assert code == 2
    assert all(name in output for name in desk.names)
    assert "--reason" in output
    assert str(desk.report / "approval.html") in output
    assert desk.stored() == {}


@pytest.mark.parametrize("reason", ["", "  "])
def test_blank_reason_is_none(desk: Desk, reason: str) -> None:
    """A reason without a word writes nothing."""
    code, output = desk.run("--reason", reason)
    assert (code, "a reason is needed" in output) == (2, True)
    assert desk.stored() == {}


def test_reason_takes_over(desk: Desk) -> None:
    """With a reason the pictures are stored, each with it."""
    code, output = desk.run("--reason", "looked at")
    assert (code, "2 expected picture(s) taken over" in output) == (0, True)
    assert {read_sidecar(path).accepted_because for path in desk.target.glob("*.json")} == {"looked at"}
    assert not list(desk.baselines.glob(".*"))


def line_of(output: str, name: str) -> str:
    """The line of the table that tells of a picture."""
    return next(line for line in output.splitlines() if name in line)


def test_table_tells_change_similarity_and_scores(desk: Desk) -> None:
    """A replaced picture has its worst tile and both scores, a picture that stays has a similarity of 1."""
    first = line_of(desk.run("--reason", "looked at")[1], desk.names[0])
    assert re.search(r"│ +new │ +- │ +- │ +90\.00 │", first)
    desk.draw(7, 1, score=80.0)
    output = desk.run()[1]
    assert re.search(r"│ +replaced │ +-?0\.\d{4} │ +90\.00 │ +80\.00 │", line_of(output, desk.names[0]))
    assert re.search(r"│ +same picture │ +1\.0000 │ +90\.00 │ +80\.00 │", line_of(output, desk.names[1]))


def pictures_of(page: str) -> list[tuple[str, Image.Image]]:
    """Caption and content of each picture of a page."""
    found = re.findall(r'<img src="data:image/png;base64,([^"]+)".*?<figcaption>(.*?)</figcaption>', page)
    return [(caption, Image.open(io.BytesIO(base64.b64decode(data)))) for data, caption in found]


def test_page_shows_old_new_and_difference(desk: Desk) -> None:
    """The page holds all pictures itself; the difference is that of old and new, ten times as large."""
    desk.run("--reason", "looked at")
    desk.draw(7)
    desk.run("--only", desk.names[0])
    (old, new, difference) = pictures_of(desk.page())
    assert [caption for caption, _ in (old, new, difference)] == ["old", "new", "difference, 10 times"]
    assert old[1].tobytes() == draw(scene_at(0)).tobytes()
    assert new[1].tobytes() == draw(scene_at(7)).tobytes()
    pairs = zip(old[1].tobytes(), new[1].tobytes(), strict=True)
    assert difference[1].tobytes() == bytes(min(255, 10 * abs(a - b)) for a, b in pairs)


def test_page_is_escaped_and_needs_nothing_else(desk: Desk) -> None:
    """Prompts and reasons are text, whatever they say, and the page loads no other file."""
    desk.run("--reason", "<script>alert(1)</script>")
    desk.draw(7)
    desk.run()
    page = desk.page()
    assert "&lt;script&gt;" in page
    assert "blue &lt;b&gt;ring&lt;/b&gt; &amp; {{ 7 * 7 }}" in page
    assert "<script" not in page
    assert set(re.findall(r'(?:src|href)="(.{5})', page)) == {"data:"}


def test_only_and_also_are_options(desk: Desk) -> None:
    """--only takes one picture, --also stores beside it, and both say so."""
    assert desk.run("--reason", "looked at", "--only", desk.names[1])[0] == 0
    assert sorted(desk.stored()) == [f"{desk.names[1]}.json", f"{desk.names[1]}.png"]
    desk.draw(0, 7)
    code, output = desk.run("--reason", "second mode", "--also", "--only", desk.names[1])
    assert (code, "added as alt1" in output) == (0, True)
    assert f"{desk.names[1]}.alt1.png" in desk.stored()
    assert desk.run("--reason", "looked at", "--only", "nosuch")[0] == 2


def test_damaged_old_picture_does_not_keep_a_new_one_out(desk: Desk) -> None:
    """An expected picture that cannot be read any more is shown as absent, and can be replaced."""
    desk.run("--reason", "looked at")
    sound = (desk.target / f"{desk.names[0]}.png").read_bytes()
    (desk.target / f"{desk.names[0]}.png").write_bytes(b"damaged")
    desk.draw(0)
    code, output = desk.run("--reason", "mended")
    assert code == 0, output
    assert (desk.target / f"{desk.names[0]}.png").read_bytes() == sound


def test_what_is_taken_over_waits_no_longer(desk: Desk) -> None:
    """A chosen candidate goes once it is an expected picture, the others wait, and the last one takes the folder."""
    desk.run("--reason", "looked at", "--only", desk.names[1])
    assert sorted(path.name for path in desk.candidates.iterdir()) == [f"{desk.names[0]}.json", f"{desk.names[0]}.png"]
    assert desk.run("--reason", "looked at")[0] == 0
    assert not (desk.report / CANDIDATES).exists()


def test_what_is_not_taken_over_waits(desk: Desk) -> None:
    """To look at candidates, or to be refused for want of a word, leaves all of them."""
    before = sorted(desk.candidates.iterdir())
    desk.run()
    desk.run("--reason", " ")
    assert sorted(desk.candidates.iterdir()) == before


def test_second_approval_at_the_same_time_is_refused(desk: Desk) -> None:
    """While another one holds the folder nothing is written; looking is allowed."""
    with only_approval(desk.baselines):
        code, output = desk.run("--reason", "looked at")
        shown = desk.run()[1]
    assert (code, "another approval is under way" in output) == (2, True)
    assert "nothing was taken over: look" in shown
    assert desk.stored() == {}


def test_tighten_goes_with_thresholds(desk: Desk) -> None:
    """--tighten alone is an error that says what is missing."""
    code, output = desk.run("--reason", "looked at", "--tighten")
    assert (code, "--thresholds" in output) == (2, True)
    assert desk.stored() == {}
