"""What becomes of a gate test that raises, or that ends without a verdict: every gate that ran has one."""

from collections.abc import Generator
from typing import Any

import pytest

from nearlossless.backends import BackendError, BackendUnavailable
from nearlossless.cases.case import CaseError
from nearlossless.measuring import BaselineError
from nearlossless.pipelines.compiling import BaselineChanged
from nearlossless.plugin.budget import BudgetEnded
from nearlossless.plugin.items import gate_of, subject_of
from nearlossless.plugin.leaving import WorkerDied
from nearlossless.plugin.stash import RUN
from nearlossless.printable import printable
from nearlossless.processes.parent import WorkerError
from nearlossless.verdicts import Outcome, stopped

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

# How a test may end on the verdict that it has given. Whatever else it raises is told of nowhere in that verdict.
_ENDS: dict[Outcome, tuple[type[BaseException], ...]] = {
    Outcome.WAIVED: (pytest.xfail.Exception,),
    Outcome.REGRESSION: (AssertionError,),
    Outcome.INCONCLUSIVE: (AssertionError,),
    Outcome.NOT_COMPARABLE: (AssertionError, WorkerDied),
}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """
    Turn an exception in a gate test into a verdict, so that every gate that ran has one; give it to JUnit's file.

    What goes wrong beside a verdict, after it or as the test is torn down, stays the ordinary failure that it is.
    """
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
    if subject is None or item.get_closest_marker("gate") is None or is_fail or call.when == "teardown":
        return report
    error, former = call.excinfo.value, item.config.stash[RUN].verdict_of(subject, item.nodeid)
    if former is not None and not isinstance(error, _ENDS.get(former.outcome, ())):
        return report
    known = [outcome for kind, outcome in _OUTCOMES.items() if isinstance(error, kind)]
    verdict = stopped(gate_of(item), known[0] if known else Outcome.NOT_COMPARABLE, f"{type(error).__name__}: {error}")
    concluded = item.config.stash[RUN].conclude(subject, verdict, item.nodeid)
    report.is_judged = True
    if known or isinstance(error, AssertionError):
        report.longrepr = printable(f"{concluded.outcome} {concluded.gate}: {concluded.reason}")
    if concluded.outcome == Outcome.WAIVED:
        report.outcome, report.wasxfail = "skipped", printable(f"{Outcome.WAIVED} {concluded.reason}")
    return report
