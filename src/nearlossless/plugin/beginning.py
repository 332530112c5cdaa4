"""What a run does once it is known to have gates, and before the first of them."""

import signal
import threading

import pytest

from nearlossless.plugin.keeping import prepare_history
from nearlossless.plugin.stash import FORMER_SIGTERM, RUN
from nearlossless.runs.run import ReportInUse


def begin(config: pytest.Config) -> None:
    """
    Find out that the report cannot be written before hours of measuring, not after.

    Raises:
        pytest.UsageError: It cannot, another run writes into it, or the history cannot be written.
    """
    run = config.stash[RUN]
    prepare_history(config)  # before what a former run left is cleared away
    try:
        run.prepare()
    except ReportInUse as error:
        raise pytest.UsageError(f"--report-dir {error}") from None
    except OSError as error:
        raise pytest.UsageError(
            f"--report-dir {run.folder}: cannot be written ({error.strerror}); name another folder"
        ) from None
    if threading.current_thread() is threading.main_thread():
        # A job that is cancelled or out of time is told so by SIGTERM: like Ctrl-C, it must not lose what was measured.
        former = signal.signal(signal.SIGTERM, signal.default_int_handler)
        config.stash[FORMER_SIGTERM] = former or signal.SIG_DFL
