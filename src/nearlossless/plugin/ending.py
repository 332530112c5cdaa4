"""The end of a run: its exit code, its reports, and what the terminal says of them."""

from pathlib import Path
from typing import Any

import pytest

from nearlossless.cases.case import CaseError
from nearlossless.plugin.items import baselines_folder, is_worker
from nearlossless.plugin.keeping import keep, write_reports
from nearlossless.plugin.leaving import gather
from nearlossless.plugin.stash import KEPT, LEFT_OUT, OTHER_FAILURES, REFUSED, RUN, TROUBLES
from nearlossless.runs.run import Run
from nearlossless.verdicts import EXIT_REGRESSION, EXIT_UNDECIDED, exit_code


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the reports, and tell a regression from missing evidence by the exit code."""
    config, run = session.config, session.config.stash[RUN]
    if is_worker(config):
        return
    gather(config)
    _count_verdicts(session, run)
    if run.subjects:
        run.exit_status = int(session.exitstatus)
        _write(session, run)
        config.stash[KEPT] = _kept(session, run)


def _count_verdicts(session: pytest.Session, run: Run) -> None:
    if REFUSED in session.config.stash:
        session.exitstatus = pytest.ExitCode.USAGE_ERROR
    if session.exitstatus not in (0, EXIT_REGRESSION) or session.config.stash[OTHER_FAILURES]:
        return
    # A test may forget to assert, or expect to fail: the verdicts count all the same.
    code = exit_code(run.outcomes) or session.exitstatus
    if session.config.stash[TROUBLES] or (run.subjects and session.config.getoption("update_baselines")):
        code = code or EXIT_UNDECIDED  # an update verifies nothing, whatever was selected beside it
    session.exitstatus = code


def _write(session: pytest.Session, run: Run) -> None:
    if trouble := write_reports(session.config, run):
        session.config.stash[TROUBLES].append(trouble)
        session.exitstatus = session.exitstatus or EXIT_UNDECIDED


def _kept(session: pytest.Session, run: Run) -> str:
    """Keep the record in the history, if there is one, and return what the terminal says of it."""
    try:
        return keep(session.config, run) or ""
    except OSError as error:
        session.exitstatus = session.exitstatus or EXIT_UNDECIDED
        run.exit_status = int(session.exitstatus)
        _write(session, run)
        return f"history: the record could not be kept: {error}"


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """The table of each subject and a line for every verdict."""
    from nearlossless.printable import printable
    from nearlossless.report.console import print_summary

    run = config.stash[RUN]
    for trouble in (*config.stash[TROUBLES], *filter(None, [config.stash.get(REFUSED, None)])):
        terminalreporter.write_line(f"ERROR: {trouble}", red=True)
    for reason in config.stash.get(LEFT_OUT, []):
        terminalreporter.write_line(printable(f"history: left out: {reason}"))
    if not run.subjects:
        return
    terminalreporter.section("nearlossless")
    print_summary(run.record(), terminalreporter)
    if run.is_written:
        terminalreporter.write_line(f"report: {run.folder / 'report.html'}")
    if kept := config.stash.get(KEPT, ""):
        terminalreporter.write_line(kept)
    lacking = [record.title for record in run.subjects.values() if record.lacks_thresholds]
    if lacking:
        terminalreporter.write_line(
            f"thresholds not yet measured: {'; '.join(lacking)}; to see what this record offers for them:"
            f" nearlossless approve {run.folder} --reason '...' (--thresholds writes them)"
        )
    if config.getoption("update_baselines") and not run.candidates:
        terminalreporter.write_line("--update-baselines: no candidate was written; was the quality gate selected?")
    if run.candidates:
        for line in _candidate_lines(run.folder, baselines_folder(config)):
            terminalreporter.write_line(line)
        terminalreporter.write_line(
            f"{len(run.candidates)} candidate picture(s) written, nothing verified; look at them, then:"
            f" nearlossless approve {run.folder} --reason '...'"
        )


def _candidate_lines(report: Path, baselines: Path) -> list[str]:
    """What each candidate would change; why that cannot be told, where one is not sound."""
    from nearlossless.accepting.approval import ApprovalError, find_candidates
    from nearlossless.record import RecordError

    try:
        found = find_candidates(report, baselines)
    except (ApprovalError, CaseError, RecordError, OSError) as error:
        return [str(error)]
    return [f"{candidate.case}/{candidate.hardware}/{candidate.name}: {candidate.change}" for candidate in found]
