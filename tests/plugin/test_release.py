"""The release gate in inner runs: only on request, and it fails for what five pictures do not show."""

import json

import pytest
from tests.plugin.inner import LOOSE, InnerRun, MakeWorkspace, Workspace, case_toml

pytest.importorskip("pyarrow")

RECIPES = {
    "identity": 'backend = "planted_backends:identity"',
    "damaged": 'backend = "planted_backends:one_tile_damaged"',
}
BANDS = {**LOOSE, "evaluation.max_clip_drop": 9.9, "evaluation.max_share_off": 0.2}


@pytest.fixture(scope="module")
def workspace(make_workspace: MakeWorkspace) -> Workspace:
    """A case with a sound and a damaged recipe, and four prompts."""
    workspace = make_workspace("release")
    workspace.add_case(case_toml(RECIPES, thresholds=BANDS))
    lines = [
        json.dumps({"prompt": f"large {colour} ring center on white stripes"}) for colour in ("red", "blue", "green")
    ]
    (workspace.folder / "prompts.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return workspace


@pytest.fixture(scope="module")
def run(workspace: Workspace) -> InnerRun:
    """Both recipes through the release gate alone."""
    return workspace.run("-m", "release", "--prompts", str(workspace.folder / "prompts.jsonl"), guarded=False)


def test_set_is_judged_and_kept(run: InnerRun) -> None:
    """The sound recipe passes over all prompts, the damaged one fails by its share; both leave a report."""
    assert run.code == 1, run.output
    assert run.verdict("evaluation").outcome == "PASS"
    failed = run.verdict("evaluation", "damaged")
    assert failed.outcome == "REGRESSION"
    assert "share of prompts off: obtained 1" in failed.reason
    page = "evaluation/mini-cpu-damaged/report.html"
    assert (run.report / page).is_file()
    assert f'<a href="{page}">' in (run.report / "report.html").read_text(encoding="utf-8")


def test_only_the_release_gate_ran(run: InnerRun) -> None:
    """`-m release` selects it and nothing else."""
    assert [verdict.gate for verdict in run.subject("identity").verdicts] == ["evaluation"]


def test_nobody_waits_for_it_who_did_not_ask(workspace: Workspace) -> None:
    """Without -m release it is no part of the run, and naming its file alone is an error that says so."""
    done = workspace.run("--collect-only", "-q", report="collected")
    assert "test_release" not in done.output
    assert "test_quality" in done.output
    done = workspace.run("-k", "test_release", report="alone")
    assert done.code == 4
    assert "run only with -m release" in done.output
