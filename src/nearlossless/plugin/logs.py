"""
Keeps pytest's log capture off torch's structured trace while a gate runs.

pytest 9.2 gives its handlers to loggers that do not propagate, too. torch takes any handler of its trace log as the
wish for a trace: each graph, guard and kernel that is compiled is then written out, kept for the length of the test,
and printed as thousands of empty lines below a gate that failed.
"""

import logging

import pytest

from nearlossless.plugin.items import subject_of

TRACE = "torch.__trace"


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Before pipelines are built."""
    _release_trace(item)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    """Before the gate measures; pytest captures each phase anew."""
    _release_trace(item)


def _release_trace(item: pytest.Item) -> None:
    if subject_of(item) is None:
        return
    trace = logging.getLogger(TRACE)
    for handler in [each for each in trace.handlers if type(each).__module__ == "_pytest.logging"]:
        trace.removeHandler(handler)
