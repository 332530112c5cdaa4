"""One run: collects what every subject measured and was judged, and writes the reports at the end."""

import sys
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from nearlossless.baselines.candidates import clear_candidates
from nearlossless.cases.waivers import waive
from nearlossless.processes.job import ProcessRun
from nearlossless.record import RECORD_FILE, SCHEMA_VERSION, Record, now, write_record
from nearlossless.record.shard import Shard
from nearlossless.record.subject import SubjectRecord
from nearlossless.record.verdicts import CheckRecord, VerdictRecord
from nearlossless.report import PAGE_FILE, SUMMARY_FILE, write_reports
from nearlossless.runs.provenance import command, commit, variables
from nearlossless.runs.selection import Subject
from nearlossless.verdicts import Check, Outcome, Verdict

if TYPE_CHECKING:
    from filelock import BaseFileLock

LOCK = ".run.lock"


class ReportInUse(Exception):
    """Another run writes into the report folder at this moment; nothing of it was touched."""


def _check_record(check: Check) -> CheckRecord:
    interval = (check.interval.low, check.interval.high) if check.interval else None
    return CheckRecord(
        name=check.name,
        of=check.of,
        outcome=check.outcome,
        obtained=check.obtained,
        threshold=check.threshold,
        comparison=check.comparison,
        unit=check.unit,
        note=check.note,
        interval=interval,
        path=check.path,
    )


def verdict_record(verdict: Verdict, test: str) -> VerdictRecord:
    """A verdict as it is kept."""
    return VerdictRecord(
        gate=verdict.gate,
        outcome=verdict.outcome,
        reason=verdict.reason,
        test=test,
        checks=[_check_record(check) for check in verdict.checks],
    )


@dataclass(slots=True)
class Run:
    """The record in the making, and where its reports go."""

    folder: Path
    started: str = field(default_factory=now)
    today: date = field(default_factory=lambda: datetime.now(UTC).date())  # UTC; waivers end by it
    subjects: dict[str, SubjectRecord] = field(default_factory=dict)
    baseline_processes: dict[tuple[str, str], ProcessRun | str] = field(default_factory=dict)  # by case and device
    candidates: set[Path] = field(default_factory=set)  # expected pictures that wait for approval
    shard: Shard | None = None
    exit_status: int | None = None
    is_written: bool = False
    lock: "BaseFileLock | None" = field(default=None, repr=False)  # of the folder, while this run has it

    def prepare(self) -> None:
        """
        Make the report folder, keep other runs out, and clear it of a former one's record, reports and candidates.

        A run that breaks off before it has written its own leaves nothing that could be taken for them.

        Raises:
            ReportInUse: Another run has it.
            OSError: It cannot be written.
        """
        from filelock import FileLock, Timeout

        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / LOCK)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise ReportInUse(f"{self.folder}: another run writes into it; give this one a folder of its own") from None
        self.lock = lock
        with tempfile.TemporaryFile(dir=self.folder):
            pass
        for name in (RECORD_FILE, SUMMARY_FILE, PAGE_FILE):
            (self.folder / name).unlink(missing_ok=True)
        clear_candidates(self.folder)

    def release(self) -> None:
        """Let other runs into the report folder again."""
        if self.lock is not None:
            (self.folder / LOCK).unlink(missing_ok=True)
            self.lock.release()
            self.lock = None

    def subject(self, subject: Subject) -> SubjectRecord:
        """The record of a subject, made at the first call."""
        if subject.id not in self.subjects:
            self.subjects[subject.id] = SubjectRecord(
                case=subject.case.name,
                recipe=subject.recipe_name,
                backend=subject.recipe.backend,
                device=subject.device,
                batch_size=subject.case.generation.batch_size,
                thresholds=subject.thresholds,
                sampling=subject.case.sampling,
                baseline_does_not_fit=subject.declared_not_to_fit,
                references=subject.case.references,
                waivers=subject.waivers,
            )
        return self.subjects[subject.id]

    def verdict_of(self, subject: Subject, test: str) -> VerdictRecord | None:
        """The verdict that a test has given so far, if any."""
        return next((verdict for verdict in self.subject(subject).verdicts if verdict.test == test), None)

    def conclude(self, subject: Subject, verdict: Verdict, test: str) -> VerdictRecord:
        """Keep a verdict, with the case's waivers in force, and return what is kept: a test has one, the first."""
        if former := self.verdict_of(subject, test):
            return former
        record = self.subject(subject)
        verdict = waive(verdict, record.waivers, self.today)
        kept = verdict_record(verdict, test)
        record.verdicts.append(kept)
        return kept

    def took(self, test: str, seconds: float) -> None:
        """Note how long a test took, if it gave a verdict."""
        for verdict in (verdict for record in self.subjects.values() for verdict in record.verdicts):
            if verdict.test == test:
                verdict.seconds = round(seconds, 1)

    @property
    def outcomes(self) -> list[Outcome]:
        """Of all verdicts so far."""
        return [verdict.outcome for record in self.subjects.values() for verdict in record.verdicts]

    def record(self) -> Record:
        """Everything so far."""
        return Record(
            schema_version=SCHEMA_VERSION,
            nearlossless_version=metadata.version("nearlossless"),
            started=self.started,
            command=command(sys.argv),
            commit=commit(Path.cwd()),
            variables=variables(),
            subjects=list(self.subjects.values()),
            shard=self.shard,
            exit_status=self.exit_status,
        )

    def properties(self, test: str) -> list[tuple[str, object]]:
        """The verdict that a test gave, as names and values: outcome, reason, and each figure with its threshold."""
        found: list[tuple[str, object]] = []
        for verdict in (v for record in self.subjects.values() for v in record.verdicts if v.test == test):
            found += [("verdict", str(verdict.outcome)), ("reason", verdict.reason)]
            for check in (check for check in verdict.checks if check.obtained is not None):
                name = f"{check.name} of {check.of}" if check.of else check.name
                bound = f" (required {check.comparison} {check.threshold:g})" if check.threshold is not None else ""
                found.append((name, f"{check.obtained:.6g} {check.unit}".rstrip() + bound))
        return found

    def write(self, *, history: Path | None = None, baselines: Path | None = None) -> list[str]:
        """Write record, summary and report into the folder; arguments and result are those of `write_reports`."""
        record = self.record()
        write_record(record, self.folder)
        left_out = write_reports(record, self.folder, history=history, baselines=baselines)
        self.is_written = True
        return left_out
