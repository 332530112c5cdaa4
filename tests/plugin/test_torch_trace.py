"""torch's structured trace stays off while a gate runs, whatever pytest captures."""

from pathlib import Path

from tests.plugin.inner import Workspace, case_toml

TRACED = '''
import pytest
import torch._logging


@pytest.mark.gate("speedup")
def test_speedup(subject, gate):
    """Traces as a compilation does; the first time torch's own handler finds out that nobody asked for it."""
    for time in ("first", "second"):
        said = lambda: print(f"traced the {time} time") or {}
        torch._logging.trace_structured("artifact", metadata_fn=said, payload_fn=str)
    assert False
'''


def test_capturing_switches_no_trace_on(tmp_path: Path) -> None:
    """A compilation in a failing gate builds no trace, and the failure shows none."""
    workspace = Workspace.create_quick(tmp_path / "traced")
    workspace.add_case(case_toml())
    (workspace.folder / "gate" / "test_quick.py").write_text(TRACED, encoding="utf-8")
    output = workspace.run("-k", "speedup").output
    assert ("first time" in output, "second time" in output, "torch.__trace" in output) == (True, False, False), output
