"""
The pytest plugin: markers, ordering, verdicts, exit code, reports; options and fixtures stand beside this file.

A gate test carries `@pytest.mark.gate(NAME)`, takes the fixtures `subject` and `gate`, and asserts that the
verdict it hands to `gate` is PASS. Everything else here is wiring.
"""

import os
import signal
import threading
from collections.abc import Generator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from nearlossless.backends import BackendError, BackendUnavailable
from nearlossless.cases import CaseError
from nearlossless.fields import GATES, STACK_GATES
from nearlossless.interpreters import find_interpreter
from nearlossless.measuring import BaselineError
from nearlossless.pipelines.compiling import BaselineChanged
from nearlossless.plugin.keeping import keep, prepare_history
from nearlossless.plugin.options import DEFAULT_REPORT, add_options
from nearlossless.plugin.stash import FORMER_SIGTERM, KEPT, OTHER_FAILURES, PROGRESS, RUN, SELECTION_ERROR, TERMINAL
from nearlossless.processes import WorkerError
from nearlossless.progress import Progress
from nearlossless.run import Run
from nearlossless.selection import Subject, select_subjects
from nearlossless.verdicts import EXIT_REGRESSION, EXIT_UNDECIDED, Outcome, exit_code, stopped

pytest_plugins = ("nearlossless.plugin.fixtures", "nearlossless.plugin.benchmarks")

# What an exception in a gate test means. Anything else is a broken gate: nothing was compared.
_OUTCOMES: dict[type[BaseException], Outcome] = {
    BackendError: Outcome.REGRESSION,
    BackendUnavailable: Outcome.NOT_COMPARABLE,
    WorkerError: Outcome.REGRESSION,
    BaselineError: Outcome.NOT_COMPARABLE,
    BaselineChanged: Outcome.NOT_COMPARABLE,
    CaseError: Outcome.NOT_COMPARABLE,
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options that select; none of them loosens a threshold."""
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Markers, and the run that all fixtures share."""
    config.addinivalue_line("markers", "gpu: runs on CUDA; set by itself on cases collected for cuda")
    gates = ", ".join(GATES + STACK_GATES)
    config.addinivalue_line("markers", f"gate(name): asks one question of a recipe; one of {gates}")
    report = config.getoption("report_dir") or config.rootpath / DEFAULT_REPORT
    config.stash[RUN] = Run(Path(report).absolute())
    config.stash[OTHER_FAILURES] = []
    # Capturing begins later: this copy stays the real terminal or CI log.
    config.stash[TERMINAL] = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="replace", buffering=1)
    config.stash[PROGRESS] = Progress(partial(_write_line, config))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Close the copy of the terminal, and leave signals as they were."""
    if FORMER_SIGTERM in config.stash:
        signal.signal(signal.SIGTERM, config.stash[FORMER_SIGTERM])
    if TERMINAL in config.stash:
        config.stash[TERMINAL].close()


def _write_line(config: pytest.Config, text: str) -> None:
    if config.get_verbosity() > -2 and not config.stash[TERMINAL].closed:
        config.stash[TERMINAL].write(f"\n    {text}")
        config.stash[TERMINAL].flush()


def _baselines(config: pytest.Config) -> Path:
    return Path(config.getoption("baselines") or config.rootpath / "baselines").absolute()


def _candidate_lines(report: Path, baselines: Path) -> list[str]:
    """What each candidate would change; why that cannot be told, where one is not sound."""
    from nearlossless.approval import ApprovalError, find_candidates
    from nearlossless.record import RecordError

    try:
        found = find_candidates(report, baselines)
    except (ApprovalError, CaseError, RecordError, OSError) as error:
        return [str(error)]
    return [f"{candidate.case}/{candidate.hardware}/{candidate.name}: {candidate.change}" for candidate in found]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One set of gate tests for each selected (case, device, recipe); those on CUDA are marked `gpu`."""
    if "subject" not in metafunc.fixturenames:
        return
    config = metafunc.config
    try:
        subjects = select_subjects(
            _baselines(config),
            cases=config.getoption("case"),
            recipes=config.getoption("recipe"),
            backend=config.getoption("backend"),
            processes=config.getoption("processes"),
        )
    except CaseError as error:
        # Raised here it would be shown once a module, as a collection error.
        config.stash[SELECTION_ERROR] = str(error)
        metafunc.parametrize("subject", [])
        return
    parameters = [
        pytest.param(subject, id=subject.id, marks=[pytest.mark.gpu] if subject.device == "cuda" else [])
        for subject in subjects
    ]
    metafunc.parametrize("subject", parameters, indirect=True, scope="session")


def _subject_of(item: pytest.Item) -> Subject | None:
    callspec = getattr(item, "callspec", None)
    value = callspec.params.get("subject") if callspec is not None else None
    return value if isinstance(value, Subject) else None


def _gate_of(item: pytest.Item) -> str:
    marker = item.get_closest_marker("gate")
    return str(marker.args[0]) if marker and marker.args else item.name.partition("[")[0]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Subject by subject, and in each the gates with processes of their own before any pipeline is built."""
    if SELECTION_ERROR in config.stash:
        raise pytest.UsageError(config.stash[SELECTION_ERROR])
    if config.getoption("against") is None:
        _leave_out_other_stacks(items)
    elif find_interpreter(config.getoption("against")) is None:
        raise pytest.UsageError(f"--against {config.getoption('against')}: is no program that can be run")
    first_seen: dict[str, int] = {}

    def place(item: pytest.Item) -> tuple[int, bool]:
        subject = _subject_of(item)
        if subject is None:
            return (-1, False)
        rank = first_seen.setdefault(subject.id, len(first_seen))
        return (rank, "baseline_pipeline" in getattr(item, "fixturenames", ()))

    items.sort(key=place)


def _leave_out_other_stacks(items: list[pytest.Item]) -> None:
    """Without another stack, gates that compare with one are none of this run's: neither skipped nor counted."""
    kept = [item for item in items if "other_stack" not in getattr(item, "fixturenames", ())]
    if items and not kept:
        raise pytest.UsageError(
            "gates that compare two stacks need --against PYTHON, another environment's interpreter"
        )
    items[:] = kept


def pytest_collection_finish(session: pytest.Session) -> None:
    """Find out that the report cannot be written before hours of measuring, not after."""
    if session.config.getoption("collectonly") or not any(_subject_of(item) for item in session.items):
        return
    if hasattr(session.config, "workerinput"):
        raise pytest.UsageError("gates cannot share a machine with each other: run them without pytest-xdist's -n")
    run = session.config.stash[RUN]
    try:
        run.prepare(update=session.config.getoption("update_baselines"))
    except OSError as error:
        raise pytest.UsageError(f"--report-dir {run.folder}: cannot be written ({error.strerror})") from None
    prepare_history(session.config)
    if threading.current_thread() is threading.main_thread():
        # A job that is cancelled or out of time is told so by SIGTERM: like Ctrl-C, it must not lose what was measured.
        former = signal.signal(signal.SIGTERM, signal.default_int_handler)
        session.config.stash[FORMER_SIGTERM] = former or signal.SIG_DFL


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what the machine or the case rules out, before any fixture is built."""
    subject = _subject_of(item)
    if subject is None:
        return
    if subject.device == "cuda" and not _cuda_is_available():
        if item.config.getoption("require_gpu"):
            pytest.fail("--require-gpu: this machine has no CUDA GPU that torch can use", pytrace=False)
        pytest.skip("no CUDA GPU that torch can use")
    gate = _gate_of(item)
    reasons = {str(name): reason for name, reason in subject.recipe.not_applicable.items()}
    if gate in reasons:
        verdict = stopped(gate, Outcome.NOT_APPLICABLE, reasons[gate])
        item.config.stash[RUN].conclude(subject, verdict, item.nodeid)
        pytest.skip(f"not applicable: {reasons[gate]}")


def _cuda_is_available() -> bool:
    import torch

    return torch.cuda.is_available()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Turn an exception in a gate test into a verdict, so that every gate that ran has one."""
    report = yield
    subject = _subject_of(item)
    if subject is not None and report.when == "call" and report.passed and item.get_closest_marker("gate"):
        verdict = stopped(_gate_of(item), Outcome.NOT_COMPARABLE, "the test came to an end without a verdict")
        item.config.stash[RUN].conclude(subject, verdict, item.nodeid)
    if call.excinfo is None or call.excinfo.errisinstance((pytest.skip.Exception, KeyboardInterrupt)):
        return report
    is_xfail = call.excinfo.errisinstance(pytest.xfail.Exception)  # of a waived gate, which has its verdict by now
    is_fail = call.excinfo.errisinstance(pytest.fail.Exception) and not is_xfail
    if subject is None or item.get_closest_marker("gate") is None or is_fail:
        item.config.stash[OTHER_FAILURES].append(item.nodeid)
        return report
    error = call.excinfo.value
    known = [outcome for kind, outcome in _OUTCOMES.items() if isinstance(error, kind)]
    verdict = stopped(_gate_of(item), known[0] if known else Outcome.NOT_COMPARABLE, f"{type(error).__name__}: {error}")
    concluded = item.config.stash[RUN].conclude(subject, verdict, item.nodeid)
    if known or isinstance(error, AssertionError):
        report.longrepr = f"{concluded.outcome} {concluded.gate}: {concluded.reason}"
    if concluded.outcome == Outcome.WAIVED:
        report.outcome, report.wasxfail = "skipped", f"{Outcome.WAIVED} {concluded.reason}"
    return report


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the reports, and tell a regression from missing evidence by the exit code."""
    run = session.config.stash[RUN]
    if run.subjects:
        run.write()
    _count_verdicts(session, run)
    if run.subjects:
        session.config.stash[KEPT] = _kept(session, run)


def _count_verdicts(session: pytest.Session, run: Run) -> None:
    if session.exitstatus not in (0, EXIT_REGRESSION) or session.config.stash[OTHER_FAILURES]:
        return
    # A test may forget to assert, or expect to fail: the verdicts count all the same.
    code = exit_code(run.outcomes) or session.exitstatus
    if run.subjects and session.config.getoption("update_baselines"):
        code = code or EXIT_UNDECIDED  # an update verifies nothing, whatever was selected beside it
    session.exitstatus = code


def _kept(session: pytest.Session, run: Run) -> str:
    """Keep the record in the history, if there is one, and return what the terminal says of it."""
    try:
        return keep(session.config, run) or ""
    except OSError as error:
        session.exitstatus = session.exitstatus or EXIT_UNDECIDED
        return f"history: the record could not be kept: {error}"


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """The table of each subject and a line for every verdict."""
    from nearlossless.report.console import print_summary

    run = config.stash[RUN]
    if not run.subjects:
        return
    terminalreporter.section("nearlossless")
    print_summary(run.record(), terminalreporter)
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
        for line in _candidate_lines(run.folder, _baselines(config)):
            terminalreporter.write_line(line)
        terminalreporter.write_line(
            f"{len(run.candidates)} candidate picture(s) written, nothing verified; look at them, then:"
            f" nearlossless approve {run.folder} --reason '...'"
        )
