"""Candidates for expected pictures are taken over checked, with a reason, or not at all."""

import hashlib
import io
import json
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from PIL import Image

from nearlossless.accepting.approval import ApprovalError, Candidate, approve, find_candidates, only_approval
from nearlossless.baselines.expected import (
    CANDIDATES,
    EXPECTED,
    MOST_ALTERNATIVES,
    Expected,
    alternative_path,
    load_expected,
    picture_name,
    write_expected,
)
from nearlossless.baselines.sidecars import read_sidecar
from nearlossless.cases.case import Case, CaseError
from nearlossless.environment import PictureIdentity, hardware_folder
from nearlossless.miniature.world import draw, scene_at
from nearlossless.pipelines.requests import requests


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


@pytest.mark.parametrize("depth", range(4))
def test_linked_folder_is_refused(desk: Desk, tmp_path: Path, depth: int) -> None:
    """Candidates in a folder that is a link are refused, from the folder of all candidates on."""
    linked = [desk.folder, *desk.folder.parents][depth]
    linked.rename(tmp_path / "moved")
    linked.symlink_to(tmp_path / "moved", target_is_directory=True)
    with pytest.raises(ApprovalError, match="is a link"):
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


@pytest.mark.parametrize("change", [{"guidance_scale": 9.0}, {"batch_size": 4}, {"steps": 3}, {"seed": 99}])
def test_candidate_of_other_settings_is_refused(desk: Desk, change: dict[str, object]) -> None:
    """A candidate that the case as it is here would not draw could never be compared, so it is refused."""
    path = (desk.folder / desk.names()[0]).with_suffix(".json")
    content = json.loads(path.read_text(encoding="utf-8")) | change
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ApprovalError, match="draws no such picture"):
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


def also(desk: Desk, reason: str = "a second mode", only: tuple[str, ...] = ()) -> list[Candidate]:
    """Approve beside what is accepted."""
    return approve(find_candidates(desk.report, desk.baselines, also=True, only=only), reason)


def expected_of(desk: Desk) -> Expected:
    """The first request's expected picture."""
    return load_expected(desk.case, desk.baselines / "miniature", requests(desk.case.generation)[0], desk.identity)


def test_second_mode_is_accepted_beside_the_picture(desk: Desk) -> None:
    """--also keeps the expected picture, adds the candidate with its own reason, and passes over what is accepted."""
    desk.approve()
    desk.write([draw(scene_at(7)), draw(scene_at(1))])
    assert [candidate.change for candidate in also(desk)] == ["added as alt1"]
    expected = expected_of(desk)
    (alternative,) = expected.alternatives
    assert expected.picture is not None
    assert expected.picture.tobytes() == draw(scene_at(0)).tobytes()
    assert alternative.picture is not None
    assert alternative.picture.tobytes() == draw(scene_at(7)).tobytes()
    assert alternative.sidecar is not None
    assert (alternative.sidecar.accepted_because, alternative.sidecar.former) == ("a second mode", None)
    assert also(desk) == []  # both are accepted by now
    assert {c.change for c in find_candidates(desk.report, desk.baselines, also=True)} == {"already accepted"}


def test_first_picture_is_no_alternative(desk: Desk) -> None:
    """Where nothing is stored, --also stores the expected pictures."""
    assert [candidate.change for candidate in also(desk)] == ["new", "new"]
    assert expected_of(desk).problem is None


def test_plain_approval_leaves_alternatives(desk: Desk) -> None:
    """A later approval replaces the expected picture, remembers it, and leaves the alternatives."""
    desk.approve("the first mode")
    desk.write([draw(scene_at(7))])
    also(desk)
    desk.write([draw(scene_at(8))])
    desk.approve("another scheduler")
    expected = expected_of(desk)
    assert expected.sidecar is not None
    assert expected.sidecar.former is not None
    assert expected.sidecar.former.accepted_because == "the first mode"
    assert len(expected.alternatives) == 1


def test_there_are_at_most_eight_alternatives(desk: Desk) -> None:
    """The ninth is refused, with nothing written; after one is removed, its number is free again."""
    desk.approve()
    first = find_candidates(desk.report, desk.baselines)[0]
    for scene in range(10, 10 + MOST_ALTERNATIVES):
        desk.write([draw(scene_at(scene))])
        also(desk)
    assert len(expected_of(desk).alternatives) == MOST_ALTERNATIVES
    desk.write([draw(scene_at(30))])
    before = sorted(desk.target.iterdir())
    with pytest.raises(ApprovalError, match="8 alternatives already"):
        also(desk)
    assert sorted(desk.target.iterdir()) == before
    for suffix in (".png", ".json"):
        alternative_path(first.expected, 3).with_suffix(suffix).unlink()
    assert [candidate.change for candidate in also(desk)] == ["added as alt3"]


def test_alternative_of_another_identity_is_refused(desk: Desk) -> None:
    """A picture that was drawn with other settings cannot stand beside the expected one."""
    desk.approve()
    desk.identity = desk.identity.model_copy(update={"attention": "sdpa:flash"})
    desk.write([draw(scene_at(7))])
    with pytest.raises(ApprovalError, match="without --also"):
        also(desk)


def test_only_named_pictures_are_taken_over(desk: Desk) -> None:
    """One name takes one picture; a name that is none of the candidates' is refused with a list of them."""
    name = picture_name(requests(desk.case.generation)[1])
    found = find_candidates(desk.report, desk.baselines, only=[name])
    assert [candidate.name for candidate in approve(found, "looked at")] == [name]
    assert [path.stem for path in desk.target.glob("*.png")] == [name]
    with pytest.raises(ApprovalError, match=f"nosuch; there is: .*{name}"):
        find_candidates(desk.report, desk.baselines, only=[name, "nosuch"])


@pytest.mark.parametrize("edit", ["16 bits", "alpha", "grey", "larger"])
def test_candidate_that_is_no_plain_picture_is_refused(desk: Desk, edit: str) -> None:
    """Another bit depth, mode or size, and alpha, keep all from being written, although the hash agrees."""
    path = desk.folder / desk.names()[0]
    if edit == "16 bits":
        rows = (b"\0" + b"\0" * (128 * 6)) * 128
        header = struct.pack(">IIBBBBB", 128, 128, 16, 2, 0, 0, 0)
        chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
        content = b"\x89PNG\r\n\x1a\n" + b"".join(
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
            for kind, data in chunks
        )
    else:
        mode, size = {"alpha": ("RGBA", 128), "grey": ("L", 128), "larger": ("RGB", 144)}[edit]
        buffer = io.BytesIO()
        Image.new(mode, (size, size)).save(buffer, format="PNG")
        content = buffer.getvalue()
    path.write_bytes(content)
    sidecar = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    sidecar["sha256"] = hashlib.sha256(content).hexdigest()
    path.with_suffix(".json").write_text(json.dumps(sidecar), encoding="utf-8")
    with pytest.raises(ApprovalError, match=r"bit depth|expected RGB"):
        desk.approve()
    assert desk.is_untouched()


def tree(folder: Path) -> dict[Path, bytes]:
    """Every file below a folder."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


FILLS_THE_DISK = """
import resource, sys
from pathlib import Path
from nearlossless.accepting.approval import approve, find_candidates

report, baselines, limit = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
found = find_candidates(report, baselines)
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    approve(found, "looked at")
except OSError as error:
    sys.exit(f"refused: {error}")
"""


@pytest.mark.parametrize("is_first", [True, False], ids=["first approval", "second approval"])
def test_full_disk_leaves_the_old_pictures(desk: Desk, is_first: bool) -> None:
    """Where the last file does not fit any more, none is taken over, and the error names the one that did not fit."""
    if not is_first:
        desk.approve("the old ones")
    pictures = [draw(scene_at(7)), Image.effect_noise((128, 128), 80).convert("RGB")]
    desk.write(pictures)
    sizes = sorted(path.stat().st_size for path in desk.folder.glob("*.png"))
    before, limit = tree(desk.baselines), (sizes[0] + sizes[1]) // 2
    command = [sys.executable, "-c", FILLS_THE_DISK, str(desk.report), str(desk.baselines), str(limit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "refused: " in done.stderr
    assert picture_name(requests(desk.case.generation)[1]) in done.stderr
    assert tree(desk.baselines) == before
    assert desk.target.exists() != is_first
    command[-1] = str(2 * sizes[1])
    assert subprocess.run(command, check=False).returncode == 0
    found = expected_of(desk)
    assert found.picture is not None
    assert found.picture.tobytes() == pictures[0].tobytes()


def test_two_approvals_at_once_are_refused(desk: Desk) -> None:
    """While one process approves, another is told so; afterwards it may, and no lock is left behind."""
    code = "import sys; from pathlib import Path\n"
    code += "from nearlossless.accepting.approval import only_approval, ApprovalError\n"
    code += "try:\n    with only_approval(Path(sys.argv[1])): pass\n"
    code += "except ApprovalError as error: sys.exit(str(error))\n"
    command = [sys.executable, "-c", code, str(desk.baselines)]
    with only_approval(desk.baselines):
        second = subprocess.run(command, capture_output=True, text=True, check=False)
    assert second.returncode == 1
    assert "another approval is under way" in second.stderr
    assert subprocess.run(command, check=False).returncode == 0
    assert desk.is_untouched()


def test_interrupted_approval_frees_its_lock(desk: Desk) -> None:
    """An error while approving leaves no lock behind."""
    with pytest.raises(KeyboardInterrupt), only_approval(desk.baselines):
        raise KeyboardInterrupt
    with only_approval(desk.baselines):
        pass
    assert desk.is_untouched()


def test_missing_baselines_are_told(tmp_path: Path) -> None:
    """A folder that is not there is an error, and is not made."""
    with pytest.raises(ApprovalError, match="no such folder"), only_approval(tmp_path / "nowhere"):
        pass
    assert not (tmp_path / "nowhere").exists()
