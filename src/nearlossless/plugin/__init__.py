"""
The pytest plugin: markers, ordering, verdicts, exit code, reports; options and fixtures stand beside this file.

A gate test carries `@pytest.mark.gate(NAME)`, takes the fixtures `subject` and `gate`, and asserts that the
verdict it hands to `gate` is PASS. Everything else here is wiring.
"""

import os
import signal
from collections.abc import Generator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from nearlossless.backends import BackendError, BackendUnavailable
from nearlossless.cases.case import CaseError
from nearlossless.fields import GATES, RELEASE_GATES, STACK_GATES
from nearlossless.measuring import BaselineError
from nearlossless.pipelines.compiling import BaselineChanged
from nearlossless.plugin.beginning import begin
from nearlossless.plugin.budget import BudgetEnded, check_budget, start_clock
from nearlossless.plugin.items import baselines_folder, gate_of, is_worker, subject_of
from nearlossless.plugin.keeping import keep, write_reports
from nearlossless.plugin.leaving import WorkerDied, gather
from nearlossless.plugin.options import DEFAULT_REPORT, add_options
from nearlossless.plugin.stash import (
    FORMER_SIGTERM,
    KEPT,
    LEFT_OUT,
    OTHER_FAILURES,
    PROGRESS,
    REFUSED,
    RUN,
    TERMINAL,
    TROUBLES,
)
from nearlossless.processes.parent import WorkerError
from nearlossless.progress import Progress
from nearlossless.runs.run import Run
from nearlossless.verdicts import EXIT_REGRESSION, EXIT_UNDECIDED, Outcome, exit_code, stopped

pytest_plugins = tuple(
    f"nearlossless.plugin.{name}"
    for name in ("fixtures", "measurements", "benchmarks", "collecting", "workers", "leaving", "remaining")
)

# What an exception in a gate test means. Anything else is a broken gate: nothing was compared.
_OUTCOMES: dict[type[BaseException], Outcome] = {
    BackendError: Outcome.REGRESSION,
    BackendUnavailable: Outcome.NOT_COMPARABLE,
    WorkerError: Outcome.REGRESSION,
    BaselineError: Outcome.NOT_COMPARABLE,
    BaselineChanged: Outcome.NOT_COMPARABLE,
    CaseError: Outcome.NOT_COMPARABLE,
    BudgetEnded: Outcome.INCONCLUSIVE,
    WorkerDied: Outcome.NOT_COMPARABLE,
}


class _Failures:
    """Collects failures that are no verdict; among them xdist's own reports of workers that died."""

    def __init__(self, found: list[str]) -> None:
        self._found = found

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a failure that no gate judged."""
        if report.failed and not getattr(report, "is_judged", False):
            self._found.append(report.nodeid)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options that select; none of them loosens a threshold."""
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Markers, and the run that all fixtures share."""
    config.addinivalue_line("markers", "gpu: runs on CUDA; set by itself on cases collected for cuda")
    config.addinivalue_line("markers", "release: takes hours; runs only where -m names it")
    gates = ", ".join(GATES + STACK_GATES + RELEASE_GATES)
    config.addinivalue_line("markers", f"gate(name): asks one question of a recipe; one of {gates}")
    report = config.getoption("report_dir") or config.rootpath / DEFAULT_REPORT
    config.stash[RUN] = Run(Path(report).absolute())
    config.stash[OTHER_FAILURES], config.stash[TROUBLES] = [], []
    config.pluginmanager.register(_Failures(config.stash[OTHER_FAILURES]))
    # Capturing begins later: this copy stays the real terminal or CI log. Of a worker of xdist's only errors get there.
    stream = os.dup(2 if is_worker(config) else 1)
    config.stash[TERMINAL] = os.fdopen(stream, "w", encoding="utf-8", errors="replace", buffering=1)
    config.stash[PROGRESS] = Progress(partial(_write_line, config))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Close the copy of the terminal, and leave signals and the report folder's lock as they were."""
    if RUN in config.stash:
        config.stash[RUN].release()
    if FORMER_SIGTERM in config.stash:
        signal.signal(signal.SIGTERM, config.stash[FORMER_SIGTERM])
    if TERMINAL in config.stash:
        config.stash[TERMINAL].close()


def _write_line(config: pytest.Config, text: str) -> None:
    """A line that ends: many viewers of logs show one only then."""
    if config.get_verbosity() > -2 and not config.stash[TERMINAL].closed:
        who = f"[{config.workerinput['workerid']}] " if is_worker(config) else ""  # type: ignore[attr-defined]
        config.stash[TERMINAL].write(f"{_line_break(config)}    {who}{text}\n")
        config.stash[TERMINAL].flush()


def _line_break(config: pytest.Config) -> str:
    """What ends a line that pytest has begun, as it does with a file's name; pytest is told that it has ended."""
    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or not reporter._tw.width_of_current_line:
        return ""
    reporter.currentfspath, reporter._tw._current_line = None, ""
    return "\n"


def _candidate_lines(report: Path, baselines: Path) -> list[str]:
    """What each candidate would change; why that cannot be told, where one is not sound."""
    from nearlossless.accepting.approval import ApprovalError, find_candidates
    from nearlossless.record import RecordError

    try:
        found = find_candidates(report, baselines)
    except (ApprovalError, CaseError, RecordError, OSError) as error:
        return [str(error)]
    return [f"{candidate.case}/{candidate.hardware}/{candidate.name}: {candidate.change}" for candidate in found]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Begin, unless this is xdist: there it is the controller that does."""
    config = session.config
    if not is_worker(config) and not config.getoption("collectonly") and any(map(subject_of, session.items)):
        if config.getoption("cpu_shares") is not None:
            raise pytest.UsageError("--cpu-shares is for the workers of pytest-xdist: give their number, too (-n)")
        begin(config)
        start_clock(config, workers=1)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what the machine or the case rules out, before any fixture is built."""
    subject = subject_of(item)
    if subject is None:
        return
    if subject.device == "cuda" and not _cuda_is_available():
        if item.config.getoption("require_gpu"):
            pytest.fail("--require-gpu: this machine has no CUDA GPU that torch can use", pytrace=False)
        pytest.skip("no CUDA GPU that torch can use")
    gate = gate_of(item)
    reasons = {str(name): reason for name, reason in subject.recipe.not_applicable.items()}
    if gate in reasons:
        verdict = stopped(gate, Outcome.NOT_APPLICABLE, reasons[gate])
        item.config.stash[RUN].conclude(subject, verdict, item.nodeid)
        pytest.skip(f"not applicable: {reasons[gate]}")
    check_budget(item.config)


def _cuda_is_available() -> bool:
    import torch

    return torch.cuda.is_available()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Turn an exception in a gate test into a verdict, so that every gate that ran has one; give it to JUnit's file."""
    if call.when == "teardown":
        item.user_properties += item.config.stash[RUN].properties(item.nodeid)
    report = yield
    subject = subject_of(item)
    if subject is not None and report.when == "call" and report.passed and item.get_closest_marker("gate"):
        verdict = stopped(gate_of(item), Outcome.NOT_COMPARABLE, "the test came to an end without a verdict")
        item.config.stash[RUN].conclude(subject, verdict, item.nodeid)
    if call.excinfo is None or call.excinfo.errisinstance((pytest.skip.Exception, KeyboardInterrupt)):
        return report
    is_xfail = call.excinfo.errisinstance(pytest.xfail.Exception)  # of a waived gate, which has its verdict by now
    is_fail = call.excinfo.errisinstance(pytest.fail.Exception) and not is_xfail
    if subject is None or item.get_closest_marker("gate") is None or is_fail:
        return report
    error = call.excinfo.value
    known = [outcome for kind, outcome in _OUTCOMES.items() if isinstance(error, kind)]
    verdict = stopped(gate_of(item), known[0] if known else Outcome.NOT_COMPARABLE, f"{type(error).__name__}: {error}")
    concluded = item.config.stash[RUN].conclude(subject, verdict, item.nodeid)
    report.is_judged = True
    if known or isinstance(error, AssertionError):
        report.longrepr = f"{concluded.outcome} {concluded.gate}: {concluded.reason}"
    if concluded.outcome == Outcome.WAIVED:
        report.outcome, report.wasxfail = "skipped", f"{Outcome.WAIVED} {concluded.reason}"
    return report


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
    from nearlossless.report.console import print_summary

    run = config.stash[RUN]
    for trouble in (*config.stash[TROUBLES], *filter(None, [config.stash.get(REFUSED, None)])):
        terminalreporter.write_line(f"ERROR: {trouble}", red=True)
    for reason in config.stash.get(LEFT_OUT, []):
        terminalreporter.write_line(f"history: left out: {reason}")
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
