"""What goes with a record: its schema, the folder it is written into, its origin, and two records side by side."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.scores import scores
from typer.testing import CliRunner

from nearlossless.cli import app
from nearlossless.history.store import append
from nearlossless.record import RECORD_FILE, Record, RecordError, read_record, write_record
from nearlossless.record.quality import PictureRecord
from nearlossless.record.schema import record_schema
from nearlossless.record.subject import SubjectRecord
from nearlossless.report.beside import UNCHANGED, beside
from nearlossless.report.markdown import LONGEST_SUMMARY, render_markdown
from nearlossless.runs import provenance
from nearlossless.runs.run import ReportInUse, Run
from nearlossless.verdicts import Outcome

ROOT = Path(__file__).parents[3]
PUBLISHED = ROOT / "docs" / "record.schema.json"
MEASURED = [*ROOT.glob("docs/benchmarks/h?00/*.json"), *ROOT.glob("baselines/*/*/record*.json")]
NO_RECORDS = ("noise.json", "profile.json")  # of benchmarks of their own
EVIL = "<script>alert(1)</script>\x1b[31m"


def validator() -> Any:
    """Of the published schema."""
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_published_schema_is_up_to_date() -> None:
    """docs/record.schema.json is what `nearlossless record-schema` prints."""
    done = CliRunner().invoke(app, ["record-schema"])
    assert done.exit_code == 0
    assert json.loads(done.stdout) == json.loads(PUBLISHED.read_text(encoding="utf-8"))
    assert done.stdout == record_schema()


def test_records_keep_to_the_published_schema(full_record: Record) -> None:
    """A record with infinite figures, as it is written, is valid."""
    full_record.subjects[0].pictures[0].live = scores(float("nan"))
    errors = list(validator().iter_errors(json.loads(full_record.model_dump_json())))
    assert errors == []


@pytest.mark.parametrize("path", [path for path in MEASURED if path.name not in NO_RECORDS], ids=lambda path: path.name)
def test_published_records_are_read(path: Path) -> None:
    """A record that was kept or published can still be read: a change of the schema that forgets them is noticed."""
    assert read_record(path).subjects


@pytest.mark.parametrize(
    "change",
    [{"schema_version": 2}, {"surprise": 1}, {"subjects": 3}, {"started": None}],
    ids=["version", "unknown", "type", "null"],
)
def test_schema_refuses_other_files(full_record: Record, change: dict[str, object]) -> None:
    """Another version, an unknown key or a wrong type is invalid."""
    assert not validator().is_valid({**json.loads(full_record.model_dump_json()), **change})


@pytest.mark.parametrize("field", ["expected_file", "baseline_file", "obtained_file"])
@pytest.mark.parametrize(
    "name",
    [
        "../a.png",
        "/etc/passwd",
        "a/../../b.png",
        "C:\\a.png",
        "..\\a.png",
        "javascript:alert(1)",
        "http://x/a.png",
        "a\x00b",
    ],
)
def test_picture_names_that_leave_the_folder_are_refused(
    full_record: Record, tmp_path: Path, field: str, name: str
) -> None:
    """A record whose picture lies elsewhere is refused by the field's name."""
    setattr(full_record.subjects[0].pictures[0], field, name)
    write_record(full_record, tmp_path)
    with pytest.raises(RecordError, match=field):
        read_record(tmp_path / RECORD_FILE)


def test_picture_names_inside_the_folder_are_read() -> None:
    """Folders, dots and spaces in a name are no reason to refuse it."""
    name = "pictures/mini-cpu-a.b/blue ring..s20.png"
    assert PictureRecord(prompt="", seed=0, height=1, width=1, obtained_file=name).obtained_file == name


def test_two_runs_in_one_folder_are_refused(tmp_path: Path) -> None:
    """The second is told so before it writes anything, and the folder is free once the first is done."""
    first, second = Run(tmp_path), Run(tmp_path)
    first.prepare()
    (tmp_path / RECORD_FILE).write_text("of the first", encoding="utf-8")
    with pytest.raises(ReportInUse, match="another run writes into it"):
        second.prepare()
    assert (tmp_path / RECORD_FILE).read_text(encoding="utf-8") == "of the first"
    first.release()
    second.prepare()
    second.release()


def test_reports_of_a_former_run_go(tmp_path: Path, full_record: Record) -> None:
    """A run that ends before it wrote anything leaves no other run's record or page to be taken for its own."""
    former = Run(tmp_path, subjects={"a": full_record.subjects[0]})
    former.write()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["record.json", "report.html", "summary.md"]
    run = Run(tmp_path)
    run.prepare()
    run.release()
    assert list(tmp_path.iterdir()) == []


def test_candidates_of_a_former_run_go(tmp_path: Path) -> None:
    """A run that begins leaves no picture to be accepted that it did not draw; what is no candidate stays."""
    candidate = tmp_path / "report" / "candidates" / "mini" / "cpu" / "expected" / "ring.png"
    outside, own = tmp_path / "outside" / "cpu" / "expected" / "ring.png", tmp_path / "report" / "candidates" / "notes"
    for path in (candidate, outside):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"")
    own.write_bytes(b"")
    own.with_name("linked").symlink_to(tmp_path / "outside", target_is_directory=True)
    run = Run(tmp_path / "report")
    run.prepare()
    run.release()
    assert (outside.exists(), sorted(path.name for path in own.parent.iterdir())) == (True, ["linked", "notes"])
    own.with_name("linked").unlink()
    own.unlink()
    candidate.parent.mkdir(parents=True)
    candidate.write_bytes(b"")
    run.prepare()
    run.release()
    assert list((tmp_path / "report").iterdir()) == []


def test_verdict_is_told_as_properties(full_record: Record, tmp_path: Path) -> None:
    """Outcome, reason and each figure with its threshold, of this test only."""
    run = Run(tmp_path, subjects={"a": full_record.subjects[0]})
    assert run.properties("test_memory") == [
        ("verdict", "REGRESSION"),
        ("reason", "reason of REGRESSION"),
        ("speedup", "1.5 x (required >= 1.4)"),
    ]
    assert run.properties("another test") == []


def test_properties_of_any_prompt_stand_in_a_file_of_xml(full_record: Record, tmp_path: Path) -> None:
    """A prompt with an escape code and a line break names its figure, and JUnit's file can still be read."""
    subject = full_record.subjects[0]
    picture = subject.pictures[0].model_copy(update={"prompt": "red\x1b[31m\n::x"})
    check = subject.verdicts[0].checks[0].model_copy(update={"of": picture.named})
    subject.verdicts = [subject.verdicts[0].model_copy(update={"checks": [check]})]
    found = Run(tmp_path, subjects={"a": subject}).properties(subject.verdicts[0].test)
    (name,) = [name for name, _ in found if "red" in name]
    assert name == rf"{check.name} of 'red\x1b[31m\n::x' seed {picture.seed}"


def test_history_that_cannot_be_read_is_told(full_record: Record, tmp_path: Path) -> None:
    """A folder that is not there is a usage error, and a damaged file in it is named; the reports are written."""
    write_record(full_record, tmp_path)
    command = ["report", str(tmp_path), "--report-dir", str(tmp_path / "out"), "--store"]
    assert CliRunner().invoke(app, [*command, str(tmp_path / "nowhere")]).exit_code == 2
    store = tmp_path / "store"
    append(full_record, store)
    (store / "\x1b[2Jnight.json").write_text("{}", encoding="utf-8")
    done = CliRunner().invoke(app, [*command, str(store)])
    assert (done.exit_code, (tmp_path / "out" / "report.html").exists()) == (0, True)
    assert r"x1b[2Jnight.json: is not named like a kept record" in done.stderr


def large(record: Record, subjects: int, pictures: int, reason: str = "r" * 500) -> Record:
    """A record of many subjects, every reason long."""
    subject = record.subjects[0]
    subject.pictures = [subject.pictures[0]] * pictures
    for verdict in subject.verdicts:
        verdict.reason = reason
    record.subjects = [subject.model_copy(update={"recipe": f"recipe-{number}"}) for number in range(subjects)]
    return record


@pytest.mark.parametrize(("subjects", "pictures"), [(1, 1), (1, 1000), (1000, 1), (1000, 20)])
def test_summary_is_bounded(full_record: Record, subjects: int, pictures: int) -> None:
    """Whatever the run, it is below 60,000 characters, and says what was left out."""
    text = render_markdown(large(full_record, subjects, pictures))
    assert len(text) < LONGEST_SUMMARY
    assert ("report.html" in text) is (subjects > 1)


def test_bounded_summary_keeps_the_red_ones(full_record: Record) -> None:
    """Of a thousand green subjects and a red one, the red one stands first."""
    record = large(full_record, 1000, 1)
    for subject in record.subjects:
        subject.verdicts = [v.model_copy(update={"outcome": Outcome.PASS}) for v in subject.verdicts]
    last = record.subjects[-1].verdicts[0] = (
        record.subjects[-1].verdicts[0].model_copy(update={"outcome": Outcome.REGRESSION})
    )
    first = next(line for line in render_markdown(record).splitlines() if line.startswith("| 🔴"))
    assert last.gate in first
    assert "recipe-999" in first


def test_commit_is_that_of_the_folder(tmp_path: Path) -> None:
    """It changes with a commit, says when tracked files differ from it, and is None outside of a repository."""
    assert provenance.commit(tmp_path) is None
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", "-C", str(tmp_path)]
    subprocess.run([*git, "init", "--quiet"], check=True)
    (tmp_path / "file").write_text("one", encoding="utf-8")
    subprocess.run([*git, "add", "file"], check=True)
    subprocess.run([*git, "commit", "--quiet", "-m", "one"], check=True)
    clean = provenance.commit(tmp_path)
    assert clean is not None
    assert len(clean) == 12
    (tmp_path / "file").write_text("two", encoding="utf-8")
    assert provenance.commit(tmp_path) == f"{clean}+changes"


def test_only_known_variables_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables of torch, CUDA and OneDiff are kept; folders, which differ every time, and secrets are not."""
    for name in ("TORCH_LOGS", "OMP_NUM_THREADS", "NEXFORT_X", "TORCHINDUCTOR_CACHE_DIR", "CUDA_HOME", "HF_TOKEN"):
        monkeypatch.setenv(name, "value")
    found = provenance.variables()
    assert {"TORCH_LOGS", "OMP_NUM_THREADS", "NEXFORT_X"} <= set(found)
    assert not {"TORCHINDUCTOR_CACHE_DIR", "CUDA_HOME", "HF_TOKEN"} & set(found)


def second(record: Record) -> Record:
    """The same run later: slower, one verdict another, another torch."""
    other = record.model_copy(deep=True)
    subject = other.subjects[0]
    assert subject.fingerprint is not None
    other.started, subject.speeds.compiled_s = "2025-01-02T00:00:00+00:00", [1.4, 1.42, 1.38]
    subject.verdicts[0].outcome = Outcome.REGRESSION
    subject.fingerprint = subject.fingerprint.model_copy(update={"stack": {"torch": "2.14.0"}})
    return other


def test_two_records_are_compared(full_record: Record) -> None:
    """Verdicts, figures with their change, and what changed in the stack; a subject of one record only is told."""
    other = second(full_record)
    other.subjects.append(SubjectRecord.model_validate({**other.subjects[0].model_dump(), "recipe": "new"}))
    found = {each.title.split(" / ")[1]: each for each in beside(full_record, other)}
    rows = {row[0]: row[1:] for row in found["inductor"].rows}
    assert rows["speedup"] == ("1.5217 x", "0.7609 x", "-50.00%")
    assert rows["speedup gate"] == ("PASS", "REGRESSION", "other")
    assert rows["memory gate"] == ("REGRESSION", "REGRESSION", "")
    assert found["inductor"].lines == ["torch: 2.13.0 -> 2.14.0"]
    assert ("memory gate", "-", "REGRESSION", "other") in found["new"].rows
    assert found["new"].lines == ["only the new record has it"]


def test_two_recipes_are_compared(full_record: Record) -> None:
    """Two records of one recipe each stand side by side, also if it is not the same one."""
    other = full_record.model_copy(deep=True)
    other.subjects[0].recipe = "inductor-fp8"
    (found,) = beside(full_record, other)
    assert found.title == "miniature / inductor / cpu -> miniature / inductor-fp8 / cpu"
    assert ("speedup", "1.5217 x", "1.5217 x", "+0.00%") in found.rows
    assert found.lines == [UNCHANGED]


@pytest.fixture
def two(full_record: Record, tmp_path: Path) -> list[str]:
    """The report folders of two runs."""
    full_record.command = full_record.subjects[0].verdicts[0].gate = EVIL
    folders = [tmp_path / name for name in ("old", "new")]
    for folder, record in zip(folders, (full_record, second(full_record)), strict=True):
        write_record(record, folder)
    return [str(folder) for folder in folders]


def test_report_prints_two_records(two: list[str], tmp_path: Path) -> None:
    """The command prints the tables and writes the page, in which a command is no markup."""
    done = CliRunner().invoke(app, ["report", *two, "--report-dir", str(tmp_path / "out")], color=True)
    assert done.exit_code == 0, done.output
    assert "torch: 2.13.0 -> 2.14.0" in done.output
    page = (tmp_path / "out" / "beside.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert "\x1b" not in page + done.output


@pytest.mark.parametrize(
    "arguments",
    [[], ["--benchmark-json", "b.json"]],
    ids=["three", "benchmark"],
)
def test_report_takes_one_or_two(two: list[str], arguments: list[str]) -> None:
    """Three records, or a benchmark file of two, are an error before anything is written."""
    records = two if arguments else [*two, two[0]]
    done = CliRunner().invoke(app, ["report", *records, *arguments])
    assert done.exit_code == 2
    assert "one record is written again, two are compared" in done.output


def test_report_is_written_again(two: list[str], tmp_path: Path) -> None:
    """One record gives summary and page anew; a record that names a file elsewhere is refused by name."""
    done = CliRunner().invoke(app, ["report", two[0], "--report-dir", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"summary.md", "report.html"}
    path = Path(two[0]) / RECORD_FILE
    path.write_text(
        path.read_text(encoding="utf-8").replace('"schema_version": 1', '"schema_version": 0'), encoding="utf-8"
    )
    done = CliRunner().invoke(app, ["report", two[0], "--report-dir", str(tmp_path / "out")])
    assert done.exit_code == 2
    assert "schema_version is 0" in done.output


def test_unknown_outcome_is_an_error(two: list[str]) -> None:
    """A record with an outcome that is none ends the command with the field's name and exit code 2, not in a crash."""
    path = Path(two[0]) / RECORD_FILE
    path.write_text(path.read_text(encoding="utf-8").replace('"REGRESSION"', '"FOO"'), encoding="utf-8")
    done = CliRunner().invoke(app, ["report", two[0]])
    assert done.exit_code == 2, done.output
    assert "verdicts.1.outcome" in done.output


def test_error_does_not_steer_the_terminal(two: list[str]) -> None:
    """What a message quotes of a stranger's file, a key with escape codes here, is shown without them."""
    path = Path(two[0]) / RECORD_FILE
    path.write_text(path.read_text(encoding="utf-8").replace("{", '{"\\u001b[2Jx": 1, ', 1), encoding="utf-8")
    done = CliRunner().invoke(app, ["report", two[0]], color=True)
    assert done.exit_code == 2
    assert done.stderr.startswith("\x1b[31merror: ")  # red, so that nothing was stripped on the way here
    assert r"\x1b[2Jx" in done.stderr
    assert "\x1b[2J" not in done.stderr


def test_unwritable_folder_loses_nothing(two: list[str]) -> None:
    """A report folder that is a file is an error, and the record is still there."""
    blocked = Path(two[1]) / RECORD_FILE
    before = blocked.read_bytes()
    done = CliRunner().invoke(app, ["report", two[0], "--report-dir", str(blocked)])
    assert done.exit_code == 2
    assert "error: " in done.output
    assert blocked.read_bytes() == before


@pytest.mark.parametrize(
    ("program", "shown"),
    [("/venv/bin/pytest", "pytest"), ("/venv/lib/pytest/__main__.py", "pytest"), ("nearlossless", "nearlossless")],
)
def test_command_is_shown_as_it_is_typed(program: str, shown: str) -> None:
    """The program's folder is nobody's business, and a package run by `python -m` goes by its name."""
    assert provenance.command([program, "tests/gate", "-m", "not gpu"]) == f"{shown} tests/gate -m 'not gpu'"
