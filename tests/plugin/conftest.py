"""Session-wide inner runs; what they are made of stands in `inner.py`."""

import pytest
from tests.plugin.inner import Approval, MakeWorkspace, Workspace, case_toml, tree


@pytest.fixture(scope="session")
def make_workspace(tmp_path_factory: pytest.TempPathFactory) -> MakeWorkspace:
    """New workspaces by name."""
    return lambda name: Workspace.create(tmp_path_factory.mktemp(name))


@pytest.fixture(scope="session")
def approval(make_workspace: MakeWorkspace) -> Approval:
    """Candidates drawn by a real run, then taken over as expected pictures."""
    workspace = make_workspace("approval")
    workspace.add_case(case_toml())
    before = tree(workspace.baselines)
    run = workspace.run("-k", "quality", "--update-baselines", guarded=False, report="candidates")
    after, candidates = tree(workspace.baselines), tree(run.report / "candidates")
    done = workspace.approve(run.report, "drawn by hand and looked at")
    return Approval(
        workspace=workspace,
        run=run,
        before=before,
        after=after,
        candidates=candidates,
        approve_code=done.returncode,
        approve_output=done.stdout,
    )
