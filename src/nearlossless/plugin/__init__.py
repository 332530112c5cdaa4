"""
The pytest plugin: markers, what a run shares, and what is skipped; all else stands beside this file.

A gate test carries `@pytest.mark.gate(NAME)`, takes the fixtures `subject` and `gate`, and asserts that the
verdict it hands to `gate` is PASS. Everything else here is wiring.
"""

import signal
from functools import partial
from pathlib import Path

import pytest

from nearlossless.fields import GATES, RELEASE_GATES, STACK_GATES
from nearlossless.plugin.beginning import begin
from nearlossless.plugin.budget import check_budget, start_clock
from nearlossless.plugin.items import gate_of, is_worker, subject_of
from nearlossless.plugin.lines import open_terminal, write_line
from nearlossless.plugin.options import DEFAULT_REPORT, add_options
from nearlossless.plugin.stash import FORMER_SIGTERM, OTHER_FAILURES, PROGRESS, RUN, TERMINAL, TROUBLES
from nearlossless.printable import printable
from nearlossless.progress import Progress
from nearlossless.runs.run import Run
from nearlossless.verdicts import Outcome, stopped

_HOOKS = "judging logs ending fixtures measurements benchmarks collecting workers leaving remaining"
pytest_plugins = tuple(f"nearlossless.plugin.{name}" for name in _HOOKS.split())


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
    open_terminal(config)
    config.stash[PROGRESS] = Progress(partial(write_line, config))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Close the copy of the terminal, and leave signals and the report folder's lock as they were."""
    if RUN in config.stash:
        config.stash[RUN].release()
    if FORMER_SIGTERM in config.stash:
        signal.signal(signal.SIGTERM, config.stash[FORMER_SIGTERM])
    if TERMINAL in config.stash:
        config.stash[TERMINAL].close()


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
        pytest.skip(printable(f"not applicable: {reasons[gate]}"))
    check_budget(item.config)


def _cuda_is_available() -> bool:
    import torch

    return torch.cuda.is_available()
