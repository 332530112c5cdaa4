"""What a page tells of former runs: the last green one, and figures over time."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from nearlossless.accepting.accepted import accepted_path
from nearlossless.history.store import Entry
from nearlossless.record import Record
from nearlossless.report.html import Known, render_html
from nearlossless.report.since import is_green, last_greens, since_green
from nearlossless.report.trends import trend
from nearlossless.verdicts import Outcome

START = datetime(2025, 1, 1, tzinfo=UTC)


def run(record: Record, days: int, *, torch: str = "2.13.0", outcome: Outcome = Outcome.PASS) -> Record:
    """A copy of a record: another day, another torch, and every verdict the same."""
    other = record.model_copy(deep=True)
    other.started = (START + timedelta(days=days)).isoformat(timespec="seconds")
    for subject in other.subjects:
        assert subject.fingerprint is not None
        subject.fingerprint = subject.fingerprint.model_copy(update={"stack": {"torch": torch}})
        for verdict in subject.verdicts:
            verdict.outcome = outcome
    return other


def entries(*records: Record) -> list[Entry]:
    """Records as a history keeps them."""
    return [
        Entry(name=f"{number}.json", started=datetime.fromisoformat(record.started), record=record)
        for number, record in enumerate(records)
    ]


@pytest.mark.parametrize(
    ("outcomes", "green"),
    [
        (["PASS", "PASS"], True),
        (["PASS", "NOT_APPLICABLE"], True),
        (["NOT_APPLICABLE"], False),
        ([], False),
        (["PASS", "WAIVED"], False),
        (["PASS", "INCONCLUSIVE"], False),
        (["PASS", "NOT_COMPARABLE"], False),
        (["PASS", "REGRESSION"], False),
    ],
)
def test_only_passing_is_green(full_record: Record, outcomes: list[str], green: bool) -> None:
    """A run is green if something passed and nothing did anything else than pass or not apply."""
    subject = full_record.subjects[0]
    subject.verdicts = [
        verdict.model_copy(update={"outcome": Outcome(outcome)})
        for verdict, outcome in zip(subject.verdicts, outcomes, strict=False)
    ]
    assert is_green(full_record, subject) is green


@pytest.mark.parametrize(
    ("status", "elsewhere", "green"),
    [
        (None, "PASS", True),  # of a record that does not tell
        (0, "PASS", True),
        (1, "PASS", False),
        (1, "REGRESSION", True),  # another recipe's, which explains it
        (10, "NOT_COMPARABLE", True),
    ],
)
def test_failure_that_no_verdict_tells_is_not_green(
    full_record: Record, status: int | None, elsewhere: str, green: bool
) -> None:
    """A run that failed although no verdict says so is nobody's green run; one that another recipe failed may be."""
    other = full_record.subjects[0].model_copy(deep=True)
    for subject, outcome in ((full_record.subjects[0], "PASS"), (other, elsewhere)):
        subject.verdicts = [subject.verdicts[0].model_copy(update={"outcome": outcome})]
    full_record.subjects.append(other)
    full_record.exit_status = status
    assert is_green(full_record, full_record.subjects[0]) is green


def test_newest_green_run_is_compared(full_record: Record) -> None:
    """Of a history with red and later runs the newest green one before this run is taken, and the changes are told."""
    now = run(full_record, 9, torch="2.14.0", outcome=Outcome.REGRESSION)
    now.commit, now.variables = "bbb", {"TORCH_LOGS": "all"}
    good = run(full_record, 5, torch="2.12.0")
    good.commit, good.variables = "aaa", {}
    history = entries(run(full_record, 1), good, run(full_record, 7, outcome=Outcome.REGRESSION), run(full_record, 11))
    since = since_green(now, now.subjects[0], last_greens(now, history), None)
    assert since is not None
    assert (since.started, since.source) == (good.started, "history")
    assert since.changes == ["torch: 2.12.0 -> 2.14.0", "git commit: aaa -> bbb", "TORCH_LOGS: absent -> all"]


def test_old_records_tell_no_commit(full_record: Record) -> None:
    """A record from before commits were kept does not pass for one of another commit."""
    now = run(full_record, 9)
    now.commit, now.variables = "bbb", {"TORCH_LOGS": "all"}
    since = since_green(now, now.subjects[0], last_greens(now, entries(run(full_record, 1))), None)
    assert since is not None
    assert since.changes == []


@pytest.mark.parametrize("changed", ["recipe", "case", "device", "hardware"])
def test_another_subject_is_no_green_run(full_record: Record, changed: str) -> None:
    """Only the same case, recipe, device and GPU count."""
    now, other = run(full_record, 9), run(full_record, 1)
    subject = other.subjects[0]
    if changed == "hardware":
        assert subject.fingerprint is not None
        picture = subject.fingerprint.picture.model_copy(update={"hardware": "another"})
        timing = subject.fingerprint.timing.model_copy(update={"picture": picture})
        subject.fingerprint = subject.fingerprint.model_copy(update={"timing": timing})
    else:
        setattr(subject, changed, "another")
    assert since_green(now, now.subjects[0], last_greens(now, entries(other)), None) is None


def test_accepted_record_stands_in(full_record: Record, tmp_path: Path) -> None:
    """Without a green run in the history the accepted record is compared."""
    now, accepted = run(full_record, 9, torch="2.14.0"), run(full_record, 3)
    path = accepted_path(tmp_path / "miniature", "inductor", "cpu-avx2", "float32")
    path.parent.mkdir(parents=True)
    path.write_text(accepted.model_dump_json(), encoding="utf-8")
    since = since_green(now, now.subjects[0], {}, tmp_path)
    assert since is not None
    assert (since.source, since.changes) == ("accepted record", ["torch: 2.13.0 -> 2.14.0"])
    assert "torch: 2.13.0 -&gt; 2.14.0" in render_html(now, known=Known(baselines=tmp_path))


def test_page_says_that_no_green_run_is_known(full_record: Record) -> None:
    """Without one the page says how to have one."""
    assert "No green run of this case" in render_html(full_record)


def test_history_is_plotted_of_comparable_runs(full_record: Record) -> None:
    """Two runs on this device make a line; runs on another one or of another recipe do not."""
    pytest.importorskip("matplotlib")
    runs = [run(full_record, day) for day in range(3)]
    subject = full_record.subjects[0]
    assert [plot.title for plot in trend(subject, entries(*runs), "p")] == [
        "History: speedup",
        "History: compiled-latency",
        "History: peak-memory",
        "History: live-ssim",
    ]
    assert "fewer than 10 runs are not searched for changes" in trend(subject, entries(*runs), "p")[0].words
    assert trend(subject, entries(runs[0]), "p") == []
    for other in runs:
        other.subjects[0].recipe = "other"
    assert trend(subject, entries(*runs), "p") == []


def test_history_says_whether_it_was_searched(full_record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    """No change point is claimed to be absent where none was looked for."""
    pytest.importorskip("matplotlib")
    runs = entries(*(run(full_record, day) for day in range(12)))
    subject = full_record.subjects[0]
    assert trend(subject, runs, "p")[0].words.endswith("no change point found.")
    monkeypatch.setattr("nearlossless.history.findings.find_spec", lambda _: None)
    assert "changes were not looked for: pip install" in trend(subject, runs, "p")[0].words
