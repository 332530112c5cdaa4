"""Candidates for expected pictures are taken over checked, with a reason, or not at all."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from nearlossless.approval import ApprovalError, Candidate, approve, find_candidates
from nearlossless.baselines import CANDIDATES, EXPECTED, load_expected, picture_name, write_expected
from nearlossless.cases import Case, CaseError
from nearlossless.environment import PictureIdentity, hardware_folder
from nearlossless.miniature.world import draw, scene_at
from nearlossless.pipelines.requests import requests
from nearlossless.sidecars import read_sidecar


class Desk:
    """A baselines folder with the miniature's case file, and a report with two candidates for it."""

    def __init__(self, root: Path, shipped: Path, case: Case, identity: PictureIdentity) -> None:
        self.baselines, self.report = root / "baselines", root / "elsewhere" / "report"
        self.case, self.identity = case, identity
        (self.baselines / "miniature").mkdir(parents=True)
        shutil.copy(shipped / "miniature" / "case.toml", self.baselines / "miniature")
        self.hardware = hardware_folder(identity.hardware, identity.dtype)
        self.folder = self.report / CANDIDATES / "miniature" / self.hardware / EXPECTED
        self.target = self.baselines / "miniature" / self.hardware / EXPECTED
        self.write([draw(scene_at(0)), draw(scene_at(1))])

    def write(self, pictures: list[Image.Image]) -> None:
        """Write pictures as candidates for the first requests of the case."""
        for request, picture in zip(requests(self.case.generation), pictures, strict=False):
            write_expected(
                self.folder, self.case, request, picture, identity=self.identity, stack={}, scores={"clip": 25.0}
            )

    def names(self) -> list[str]:
        """File names of the candidates' pictures."""
        return sorted(path.name for path in self.folder.glob("*.png"))

    def is_untouched(self) -> bool:
        """Whether the baselines folder holds the case file and nothing else."""
        return [path.name for path in self.baselines.rglob("*") if path.is_file()] == ["case.toml"]

    def approve(self, reason: str = "first pictures") -> list[Candidate]:
        """Find and approve all."""
        return approve(find_candidates(self.report, self.baselines), reason)


@pytest.fixture
def desk(tmp_path: Path, shipped_baselines: Path, miniature_case: Case, identity: PictureIdentity) -> Desk:
    """Two candidates that wait."""
    return Desk(tmp_path, shipped_baselines, miniature_case, identity)


def test_candidates_become_expected_pictures(desk: Desk) -> None:
    """Approved candidates are loaded as the expected pictures of their requests, without a problem."""
    assert len(desk.approve()) == 2
    expected = load_expected(desk.case, desk.baselines / "miniature", requests(desk.case.generation)[0], desk.identity)
    assert (expected.problem, expected.foreign) == (None, [])
    assert expected.picture is not None


def test_report_of_another_machine_can_be_approved(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A report that was copied here from elsewhere is approved into the given folder, from any working folder."""
    shutil.move(desk.report, tmp_path / "downloaded")
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    approve(find_candidates(Path("../downloaded"), desk.baselines), "from CI")
    assert len(list(desk.target.glob("*.png"))) == 2


def test_reason_is_kept_beside_each_picture(desk: Desk) -> None:
    """The reason stands, stripped, in every sidecar."""
    desk.approve("  new scheduler ")
    reasons = [read_sidecar(path).accepted_because for path in desk.target.glob("*.json")]
    assert reasons == ["new scheduler", "new scheduler"]


@pytest.mark.parametrize("reason", ["", "  ", "\n\t"])
def test_missing_reason_is_refused(desk: Desk, reason: str) -> None:
    """Without a reason nothing is written."""
    with pytest.raises(ApprovalError, match="reason"):
        desk.approve(reason)
    assert desk.is_untouched()


def test_damaged_candidate_is_refused_and_nothing_is_written(desk: Desk) -> None:
    """One damaged candidate keeps all of them from being written, the sound ones included."""
    damaged = desk.folder / desk.names()[-1]
    damaged.write_bytes(damaged.read_bytes()[:-10])
    with pytest.raises(ApprovalError, match=r"sha256"):
        desk.approve()
    assert desk.is_untouched()


@pytest.mark.parametrize("content", [b"{", b"{}", b"\xff"])
def test_damaged_sidecar_is_refused(desk: Desk, content: bytes) -> None:
    """A sidecar that is no sidecar keeps all from being written."""
    (desk.folder / desk.names()[0]).with_suffix(".json").write_bytes(content)
    with pytest.raises(ApprovalError):
        desk.approve()
    assert desk.is_untouched()


def test_candidate_without_picture_is_refused(desk: Desk) -> None:
    """A sidecar whose picture is missing keeps all from being written."""
    (desk.folder / desk.names()[0]).unlink()
    with pytest.raises(ApprovalError):
        desk.approve()
    assert desk.is_untouched()


def test_unknown_case_is_refused(desk: Desk) -> None:
    """Candidates for a case that does not exist here are refused."""
    shutil.move(desk.folder.parents[1], desk.folder.parents[2] / "other")
    with pytest.raises((ApprovalError, CaseError), match="other"):
        desk.approve()
    assert desk.is_untouched()


@pytest.mark.parametrize("suffix", [".png", ".json"])
def test_link_is_refused(desk: Desk, tmp_path: Path, suffix: str) -> None:
    """A candidate that is a symbolic link is refused, whatever it points to."""
    path = (desk.folder / desk.names()[0]).with_suffix(suffix)
    path.rename(tmp_path / f"moved{suffix}")
    path.symlink_to(tmp_path / f"moved{suffix}")
    with pytest.raises(ApprovalError, match="link"):
        desk.approve()
    assert desk.is_untouched()


def test_empty_report_is_refused(desk: Desk, tmp_path: Path) -> None:
    """A folder without candidates says which option writes them."""
    with pytest.raises(ApprovalError, match="--update-baselines"):
        find_candidates(tmp_path / "cwd", desk.baselines)


def test_candidate_under_a_name_that_is_not_its_own_is_refused(desk: Desk) -> None:
    """A candidate whose file name is not that of its request could never be loaded, so it is refused."""
    for path in [desk.folder / desk.names()[0], (desk.folder / desk.names()[0]).with_suffix(".json")]:
        path.rename(path.with_stem("renamed"))
    with pytest.raises(ApprovalError, match="renamed"):
        desk.approve()
    assert desk.is_untouched()


def test_huge_candidate_is_refused(desk: Desk) -> None:
    """A candidate of a size that no case may draw is refused before it is decoded."""
    path = (desk.folder / desk.names()[0]).with_suffix(".json")
    content = json.loads(path.read_text(encoding="utf-8")) | {"width": 10**6, "height": 10**6}
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ApprovalError):
        desk.approve()
    assert desk.is_untouched()


def test_former_picture_is_told(desk: Desk) -> None:
    """A candidate knows the picture that it replaces; a new one knows none."""
    first = desk.approve()
    desk.write([draw(scene_at(7)), draw(scene_at(1))])
    second = desk.approve()
    assert [candidate.former for candidate in first] == [None, None]
    replaced = {c.name: c.former is not None and c.former.sha256 != c.sidecar.sha256 for c in second}
    assert sorted(replaced.values()) == [False, True]
    assert replaced[picture_name(requests(desk.case.generation)[0])]


def test_approving_again_replaces_the_picture(desk: Desk) -> None:
    """After a second approval the newer picture is the expected one."""
    desk.approve()
    desk.write([draw(scene_at(7))])
    desk.approve("another scheduler")
    request = requests(desk.case.generation)[0]
    expected = load_expected(desk.case, desk.baselines / "miniature", request, desk.identity)
    assert expected.picture is not None
    assert expected.picture.tobytes() == draw(scene_at(7)).tobytes()


def test_picture_without_its_new_sidecar_is_refused(desk: Desk) -> None:
    """If the run ends between picture and sidecar, the half-written baseline is refused, not believed."""
    desk.approve()
    desk.write([draw(scene_at(7))])
    request = requests(desk.case.generation)[0]
    name = f"{picture_name(request)}.png"
    (desk.target / name).write_bytes((desk.folder / name).read_bytes())
    expected = load_expected(desk.case, desk.baselines / "miniature", request, desk.identity)
    assert expected.picture is None
    assert "sha256" in str(expected.problem)
