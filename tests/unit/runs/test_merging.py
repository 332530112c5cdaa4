"""Shards put together: nothing lost, nothing green by omission, nothing that does not belong together."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from nearlossless.accepting.accepted import accepted_path
from nearlossless.cli import app
from nearlossless.history.store import newest
from nearlossless.record import RECORD_FILE, Record, read_record, write_record
from nearlossless.record.shard import Shard
from nearlossless.runs.merging import MergeError, Part, copy_pictures, merge, read_parts, worst
from nearlossless.verdicts import EXIT_REGRESSION, EXIT_UNDECIDED, Outcome

MakePart = Callable[..., Part]


@pytest.fixture
def make_part(full_record: Record, tmp_path: Path) -> MakePart:
    """Makes the part of a shard that judged one case, green unless told otherwise, with one picture."""

    def make(
        number: int,
        *,
        of: int = 2,
        case: str = "",
        outcome: Outcome = Outcome.PASS,
        status: int = 0,
        selection: str = "s",
    ) -> Part:
        record = full_record.model_copy(deep=True)
        (subject,) = record.subjects
        subject.case = case or f"case-{number}"
        for verdict in subject.verdicts:
            verdict.outcome = outcome
        record.shard = Shard(number=number, of=of, selection=selection)
        record.exit_status, record.command = status, f"pytest --shard {number}/{of}"
        record.started = f"2026-01-01T00:00:0{9 - number}+00:00"
        folder = tmp_path / f"shard-{number}-{subject.case}"
        pictures = folder / "pictures" / subject.case
        pictures.mkdir(parents=True)
        (pictures / "obtained.png").write_bytes(subject.case.encode())
        write_record(record, folder)
        return Part(source=folder, record=record, folder=folder)

    return make


def test_merged_record_has_everything(make_part: MakePart) -> None:
    """All subjects of all shards as they were, in order of their cases, from the first start on; no shard any more."""
    parts = [make_part(2, case="a"), make_part(1, case="b")]
    merged = merge(parts)
    assert merged.subjects == [parts[0].record.subjects[0], parts[1].record.subjects[0]]
    assert merged.started == "2026-01-01T00:00:07+00:00"
    assert merged.command == "pytest --shard 1/2; pytest --shard 2/2"
    assert (merged.shard, merged.lacks, merged.exit_status) == (None, [], 0)


def test_missing_shard_is_not_green(make_part: MakePart) -> None:
    """What is not there is named, and the whole run does not end with 0."""
    merged = merge([make_part(1, of=3), make_part(3, of=3)])
    assert merged.lacks == ["shard 2/3 is missing"]
    assert merged.exit_status == EXIT_UNDECIDED


@pytest.mark.parametrize(
    ("outcome", "status", "expected"),
    [
        (Outcome.PASS, 0, 0),
        (Outcome.PASS, 2, 2),  # broken off: what passed is not all
        (Outcome.PASS, 1, EXIT_REGRESSION),  # a failed test that is no gate
        (Outcome.REGRESSION, 0, EXIT_REGRESSION),
        (Outcome.INCONCLUSIVE, 0, EXIT_UNDECIDED),
    ],
)
def test_exit_code_is_the_worst(make_part: MakePart, outcome: Outcome, status: int, expected: int) -> None:
    """A part's own exit code and its verdicts both count, beside a green part."""
    assert merge([make_part(1), make_part(2, outcome=outcome, status=status)]).exit_status == expected


@pytest.mark.parametrize(
    ("codes", "expected"), [([0, 0], 0), ([0, 10], 10), ([10, 2], 2), ([4, 1, 10], 1), ([5, 0], 5)]
)
def test_worst_code(codes: list[int], expected: int) -> None:
    """Regression before a run that broke off before missing evidence before green."""
    assert worst(codes) == expected


def test_shard_twice_is_refused(make_part: MakePart) -> None:
    """Two records of one shard are one too many, whichever is right."""
    with pytest.raises(MergeError, match="shard 1/2 is there twice"):
        merge([make_part(1), make_part(1, case="other")])


@pytest.mark.parametrize("other", [{"of": 3}, {"selection": "t"}])
def test_shards_of_other_runs_are_refused(make_part: MakePart, other: dict[str, object]) -> None:
    """Records that split something else, or in another number of parts, do not add up to one run."""
    with pytest.raises(MergeError, match="is of another run"):
        merge([make_part(1), make_part(2, **other)])


@pytest.mark.parametrize(
    ("versions", "commits", "told"),
    [
        (("1.0", "1.1"), ("a", "a"), r"nearlossless 1\.1\) is of another run than .*nearlossless 1\.0"),
        (("1.0", "1.0", "1.0"), ("a", None, "b"), r"shard-3.*commit b\) is of another run than .*shard-1.*commit a"),
        (("1.0", "1.0", "1.0"), (None, "a", "a+changes"), r"commit a\+changes\) is of another run than .*commit a"),
    ],
)
def test_shards_of_other_software_are_refused(
    make_part: MakePart, versions: tuple[str, ...], commits: tuple[str | None, ...], told: str
) -> None:
    """A host that died leaves an earlier night's record: the commit or the version tells it from this night's."""
    parts = [make_part(number, of=len(versions)) for number in range(1, len(versions) + 1)]
    for part, version, commit in zip(parts, versions, commits, strict=True):
        part.record.nearlossless_version, part.record.commit = version, commit
    with pytest.raises(MergeError, match=told):
        merge(parts)


def test_hosts_that_cannot_tell_their_commit_are_merged(make_part: MakePart) -> None:
    """A commit that is not known is no other one, and shards may start whenever their hosts do."""
    parts = [make_part(number, of=3) for number in (1, 2, 3)]
    for part, commit, started in zip(parts, (None, "a", "a"), ("01", "02", "03"), strict=True):
        part.record.commit, part.record.started = commit, f"2026-01-{started}T00:00:00+00:00"
    assert merge(parts).exit_status == 0


def test_subject_in_two_shards_is_refused(make_part: MakePart) -> None:
    """One subject has one record."""
    with pytest.raises(MergeError, match="is in two shards"):
        merge([make_part(1, case="same"), make_part(2, case="same")])


def test_whole_run_is_no_shard(make_part: MakePart, full_record: Record) -> None:
    """A record without a shard is no part of anything."""
    whole = Part(source=Path("whole"), record=full_record, folder=None)
    with pytest.raises(MergeError, match="whole: is no shard's record"):
        merge([make_part(1), whole])


def test_pictures_come_along_and_links_do_not(make_part: MakePart, tmp_path: Path) -> None:
    """Every shard's pictures lie in the merged folder; what a link points to stays where it is."""
    parts = [make_part(1), make_part(2)]
    (tmp_path / "secret").write_text("", encoding="utf-8")
    (parts[0].source / "pictures" / "link.png").symlink_to(tmp_path / "secret")
    copy_pictures(parts, tmp_path / "merged")
    found = [str(path.relative_to(tmp_path / "merged")) for path in sorted((tmp_path / "merged").rglob("*.png"))]
    assert found == ["pictures/case-1/obtained.png", "pictures/case-2/obtained.png"]


def test_candidates_of_a_former_merge_go(make_part: MakePart, tmp_path: Path) -> None:
    """Only candidates of these shards wait for approval in the merged folder, whatever was merged there before."""
    part, places = make_part(1, of=1), [Path("candidates/a/cpu/expected/ring.png"), Path("candidates/b/cpu/expected/a")]
    for folder, place in zip((part.source, tmp_path / "merged"), places, strict=True):
        (folder / place).parent.mkdir(parents=True)
        (folder / place).write_bytes(b"")
    copy_pictures([part], tmp_path / "merged")
    assert [path for path in places if (tmp_path / "merged" / path).exists()] == places[:1]


def test_pictures_of_one_name_must_be_one(make_part: MakePart, tmp_path: Path) -> None:
    """Two shards whose files would overwrite each other are refused before anything is copied."""
    parts = [make_part(1), make_part(2)]
    for number, part in enumerate(parts):
        (part.source / "pictures" / "same.png").write_bytes(bytes([number]))
    with pytest.raises(MergeError, match=r"same\.png differ"):
        copy_pictures(parts, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_folder_of_a_shard_is_not_written_into(make_part: MakePart) -> None:
    """The merged report does not overwrite a part of itself."""
    part = make_part(1, of=1)
    with pytest.raises(MergeError, match="is the report folder of shard 1/1"):
        copy_pictures([part], part.source)


def test_folder_and_file_are_read_alike(make_part: MakePart) -> None:
    """A report folder and its record.json are the same part."""
    part = make_part(1)
    by_folder, by_file = read_parts([part.source, part.source / RECORD_FILE])
    assert (by_folder.record, by_folder.folder) == (by_file.record, by_file.folder) == (part.record, part.source)


def test_command_writes_the_whole_run(make_part: MakePart, tmp_path: Path) -> None:
    """`nearlossless merge` writes record and reports, keeps the record, and ends with the worst exit code."""
    parts = [make_part(1), make_part(2, outcome=Outcome.REGRESSION, status=1)]
    folders = [str(part.source) for part in parts]
    options = ["--report-dir", str(tmp_path / "merged"), "--history", str(tmp_path / "kept")]
    done = CliRunner().invoke(app, ["merge", *folders, *options])
    assert done.exit_code == EXIT_REGRESSION, done.output
    written = read_record(tmp_path / "merged" / RECORD_FILE)
    assert [subject.case for subject in written.subjects] == ["case-1", "case-2"]
    assert (tmp_path / "merged" / "report.html").exists()
    assert [entry.record for entry in newest(tmp_path / "kept", 5).entries] == [written]


@pytest.mark.parametrize("command", ["merge", "report"])
def test_merged_page_looks_back_on_the_accepted_record(make_part: MakePart, tmp_path: Path, command: str) -> None:
    """Without a history, what changed is told since the record that the folder of cases holds, as on a shard's page."""
    parts = [make_part(1), make_part(2)]
    subject = parts[0].record.subjects[0]
    assert subject.fingerprint is not None
    picture = subject.fingerprint.picture
    accepted = accepted_path(tmp_path / "cases" / subject.case, subject.recipe, picture.hardware, picture.dtype)
    accepted.parent.mkdir(parents=True)
    accepted.write_text(parts[0].record.model_dump_json(), encoding="utf-8")
    options = ["--report-dir", str(tmp_path / "merged"), "--baselines", str(tmp_path / "cases")]
    done = CliRunner().invoke(app, [command, *(str(part.source) for part in parts), *options])
    assert done.exit_code == 0, done.output
    assert "accepted record" in (tmp_path / "merged" / "report.html").read_text(encoding="utf-8")


def test_report_puts_shards_together(make_part: MakePart, tmp_path: Path) -> None:
    """`nearlossless report` of several shards is a merge with its exit code, and asks where it is to go."""
    folders = [str(make_part(number, of=3).source) for number in (1, 2)]
    done = CliRunner().invoke(app, ["report", *folders, "--report-dir", str(tmp_path / "merged")])
    assert done.exit_code == EXIT_UNDECIDED, done.output
    assert "shard 3/3 is missing" in done.output
    assert len(read_record(tmp_path / "merged" / RECORD_FILE).subjects) == 2
    untold = CliRunner().invoke(app, ["report", *folders])
    assert (untold.exit_code, "--report-dir" in untold.output) == (2, True)


def test_command_tells_what_is_missing(make_part: MakePart, tmp_path: Path) -> None:
    """A shard that is not there is named, and its absence is the exit code."""
    done = CliRunner().invoke(app, ["merge", str(make_part(1).source), "--report-dir", str(tmp_path / "merged")])
    assert done.exit_code == EXIT_UNDECIDED, done.output
    assert "shard 2/2 is missing" in done.output


def test_lack_does_not_steer_the_terminal(make_part: MakePart, tmp_path: Path) -> None:
    """What a part says it lacks is shown without its escape codes."""
    part = make_part(1, of=1)
    part.record.lacks = ["\x1b[2Jshard"]
    write_record(part.record, part.source)
    command = ["merge", str(part.source), "--report-dir", str(tmp_path / "merged")]
    done = CliRunner().invoke(app, command, color=True)
    assert done.exit_code == EXIT_UNDECIDED, done.output
    assert r"\x1b[2Jshard" in done.stderr
    assert "\x1b[2J" not in done.stderr


def test_command_refuses_a_damaged_record(make_part: MakePart, tmp_path: Path) -> None:
    """A damaged part is named, and nothing is written."""
    part = make_part(1)
    (part.source / RECORD_FILE).write_text("{", encoding="utf-8")
    done = CliRunner().invoke(app, ["merge", str(part.source), "--report-dir", str(tmp_path / "merged")])
    assert done.exit_code == 2, done.output
    assert "record.json" in done.output
    assert not (tmp_path / "merged").exists()


def test_command_refuses_a_start_that_is_no_time(make_part: MakePart, tmp_path: Path) -> None:
    """A record that was made by hand cannot be kept, and the command says why instead of breaking off."""
    part = make_part(1, of=1)
    part.record.started = "yesterday"
    write_record(part.record, part.source)
    options = ["--report-dir", str(tmp_path / "merged"), "--history", str(tmp_path / "kept")]
    done = CliRunner().invoke(app, ["merge", str(part.source), *options])
    assert done.exit_code == 2, done.output
    assert "yesterday" in done.output
