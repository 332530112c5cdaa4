"""Gates on several workers of pytest-xdist: each with a device to itself, and one record as of one process."""

import os
import shutil
from pathlib import Path

import pytest
from tests.plugin.inner import IDENTITY, InnerRun, MakeWorkspace, Workspace, case_toml

from nearlossless.history.store import newest
from nearlossless.record import RECORD_FILE
from nearlossless.runs.parts import DIED
from nearlossless.verdicts import EXIT_REGRESSION, Outcome

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="two workers need two cores"),
]
TWO = ("-n", "2", "--cpu-shares", "2")
CASES = ("a", "b", "c")
# Simulated GPUs: the module that asks the driver, with as many as PLANTED_GPUS says.
NVML = '''"""Stands before pynvml."""

import os


class NVMLError(Exception):
    """As the driver's."""


def nvmlInit():
    pass


def nvmlDeviceGetCount():
    return int(os.environ["PLANTED_GPUS"])


def nvmlDeviceGetHandleByIndex(index):
    return index


def nvmlDeviceGetUUID(handle):
    return f"GPU-{handle}"
'''
TELLS_GPU = '''"""Tells which GPUs each process sees before anything runs."""

import os
import shutil
from pathlib import Path

Path(f"sees-{os.environ.get('PYTEST_XDIST_WORKER')}").write_text(os.environ.get("CUDA_VISIBLE_DEVICES", "all"))
'''

COMPILES_ALONE = '''"""Fails what compiles beside processes that another worker times."""

import pytest
from filelock import FileLock, Timeout

from nearlossless.plugin.stash import DESK


@pytest.fixture(scope="session", autouse=True)
def checked(request):
    from nearlossless.measuring import building

    compile_beside = building.compile_beside

    def compile_alone(*arguments):
        try:
            FileLock(request.config.stash[DESK] / "quiet.lock").acquire(timeout=0)
        except Timeout:
            return compile_beside(*arguments)
        raise AssertionError("another worker could time its processes now")

    building.compile_beside = compile_alone
'''


@pytest.fixture(scope="module")
def workspace(make_workspace: MakeWorkspace) -> Workspace:
    """Three cases with quick gates."""
    return Workspace.create_quick(make_workspace("workers").folder.parent / "quick", *CASES)


@pytest.fixture(scope="module")
def spread(workspace: Workspace) -> InnerRun:
    """A run on two shares of the cores, kept in a history."""
    return workspace.run(*TWO, "--history", "kept")


@pytest.fixture
def gpus(make_workspace: MakeWorkspace) -> Workspace:
    """A workspace with simulated GPUs."""
    workspace = make_workspace("gpus")
    (workspace.folder / "pynvml.py").write_text(NVML, encoding="utf-8")
    workspace.add_case(case_toml(dtype='{ cuda = "bfloat16" }'))
    return workspace


def test_record_is_that_of_one_process(workspace: Workspace, spread: InnerRun) -> None:
    """Every verdict is there once, subject by subject as collected, with ids that run a gate again without xdist."""
    assert spread.code == 0, spread.output
    alone = workspace.run(report="alone")
    found = [[(s.case, v.test, v.outcome) for s in run.record.subjects for v in s.verdicts] for run in (spread, alone)]
    assert [case for case, _, _ in found[0]] == [case for case in CASES for _ in range(3)]
    assert sorted(found[0]) == sorted(found[1])


def test_gates_of_a_subject_stay_on_one_worker(workspace: Workspace, spread: InnerRun) -> None:
    """Both workers judge, and no subject is judged by two."""
    workers = {case: {each["worker"] for each in workspace.ran if f"{case}-cpu" in each["subject"]} for case in CASES}
    of_xdist = {case: found - {None} for case, found in workers.items()}
    assert [len(found) for found in of_xdist.values()] == [1, 1, 1]
    assert set.union(*of_xdist.values()) == {"gw0", "gw1"}


def test_each_worker_has_cores_to_itself(workspace: Workspace, spread: InnerRun) -> None:
    """The workers' cores are of one number and disjoint, and no more threads than cores are used."""
    cores = {each["worker"]: each["cores"] for each in workspace.ran if each["worker"]}
    assert len(cores["gw0"]) == len(cores["gw1"]) == len(os.sched_getaffinity(0)) // 2
    assert not set(cores["gw0"]) & set(cores["gw1"])
    assert {each["threads"] for each in workspace.ran} == {"1"}


def test_run_is_kept_once(workspace: Workspace, spread: InnerRun) -> None:
    """The history has one file with what all workers measured."""
    (entry,) = newest(workspace.folder / "kept", 5).entries
    assert entry.record == spread.record


def test_worker_that_dies_loses_only_its_gate(
    make_workspace: MakeWorkspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gate that a worker died in is no PASS and not tried again; what was judged before and after stays."""
    workspace = Workspace.create_quick(tmp_path / "dies", "a", "b")
    monkeypatch.setenv("PLANTED_DEATH", "b-cpu-identity quality")
    run = workspace.run(*TWO)
    assert run.code == EXIT_REGRESSION, run.output
    verdicts = {verdict.gate: verdict for verdict in run.subject("identity", "b").verdicts}
    outcomes = {gate: verdict.outcome for gate, verdict in verdicts.items()}
    assert outcomes == {"memory": Outcome.PASS, "quality": Outcome.NOT_COMPARABLE, "speedup": Outcome.PASS}
    assert verdicts["quality"].reason == DIED
    assert [each["gate"] for each in workspace.ran if each["subject"] == "b-cpu-identity"].count("quality") == 1
    assert {verdict.outcome for verdict in run.subject("identity", "a").verdicts} == {Outcome.PASS}


def test_regression_on_a_worker_is_the_runs(tmp_path: Path) -> None:
    """A verdict of one worker decides the exit code of the whole run."""
    workspace = Workspace.create_quick(tmp_path / "worse", "a", recipes={**IDENTITY, "worse": IDENTITY["identity"]})
    run = workspace.run(*TWO)
    assert run.code == EXIT_REGRESSION, run.output
    assert run.verdict("speedup", "worse", "a").outcome == Outcome.REGRESSION
    assert run.verdict("speedup", "identity", "a").outcome == Outcome.PASS


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("-n", "2"), "--cpu-shares 2"),
        (("-n", "3", "--cpu-shares", "2"), "3 workers would time gates on the same CPU"),
        (("-n", "2", "--cpu-shares", "4096"), "each needs at least one"),
        ((*TWO, "--dist", "worksteal"), "leave --dist out"),
        ((*TWO, "--case", "nosuch"), "there is: a, b, c"),
        ((*TWO, "--tier", "nosuch"), "is none of nearlossless_tiers"),
    ],
)
def test_what_workers_cannot_do_is_a_usage_error(
    workspace: Workspace, spread: InnerRun, arguments: tuple[str, ...], told: str
) -> None:
    """Nothing is measured, and the message says what to do."""
    before = len(workspace.ran)
    run = workspace.run(*arguments, report="refused")
    assert run.code == pytest.ExitCode.USAGE_ERROR, run.output
    assert told in run.output
    assert len(workspace.ran) == before
    assert not (run.report / RECORD_FILE).exists()


def test_auto_is_one_worker_for_each_gpu(gpus: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """`-n auto` starts as many workers as there are GPUs, each of which sees one of its own from its start on."""
    monkeypatch.setenv("PLANTED_GPUS", "2")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    (gpus.folder / "gate" / "conftest.py").write_text(TELLS_GPU, encoding="utf-8")
    gpus.run("-n", "auto")
    seen = {path.name: path.read_text(encoding="utf-8") for path in gpus.folder.glob("sees-*")}
    assert seen == {"sees-None": "all", "sees-gw0": "GPU-0", "sees-gw1": "GPU-1"}


def test_hidden_gpus_stay_hidden(gpus: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the GPUs that CUDA_VISIBLE_DEVICES names each worker gets one, and no other."""
    monkeypatch.setenv("PLANTED_GPUS", "4")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,1")
    (gpus.folder / "gate" / "conftest.py").write_text(TELLS_GPU, encoding="utf-8")
    gpus.run("-n", "auto")
    seen = {path.name: path.read_text(encoding="utf-8") for path in gpus.folder.glob("sees-gw*")}
    assert seen == {"sees-gw0": "3", "sees-gw1": "1"}


@pytest.mark.parametrize("count", ["0", "1"])
def test_more_workers_than_gpus_is_a_usage_error(gpus: Workspace, monkeypatch: pytest.MonkeyPatch, count: str) -> None:
    """Two workers never share a GPU."""
    monkeypatch.setenv("PLANTED_GPUS", count)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    run = gpus.run("-n", "2")
    assert run.code == pytest.ExitCode.USAGE_ERROR, run.output
    assert f"2 workers for {count} visible GPU(s)" in run.output


def test_project_without_cases_is_left_alone(gpus: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there can be no gates, xdist spreads tests as it does without this plugin, pinned to nothing."""
    monkeypatch.setenv("PLANTED_GPUS", "4")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    shutil.rmtree(gpus.baselines / "mini")
    shutil.rmtree(gpus.folder / "gate")
    (gpus.folder / "gate").mkdir()
    (gpus.folder / "gate" / "conftest.py").write_text(TELLS_GPU, encoding="utf-8")
    (gpus.folder / "gate" / "test_other.py").write_text("def test_other():\n    pass\n", encoding="utf-8")
    run = gpus.run("-n", "2", "-v")
    assert run.code == 0, run.output
    assert "scheduling tests via LoadScheduling" in run.output
    seen = {path.name: path.read_text(encoding="utf-8") for path in gpus.folder.glob("sees-gw*")}
    assert seen == {"sees-gw0": "all", "sees-gw1": "all"}


def test_real_latencies_of_two_workers_are_in_one_record(make_workspace: MakeWorkspace) -> None:
    """Two miniature cases timed at once, each on its own core and compiled one by one: both are judged by all pairs."""
    workspace = make_workspace("timed")
    (workspace.folder / "gate" / "conftest.py").write_text(COMPILES_ALONE, encoding="utf-8")
    for name in ("a", "b"):
        workspace.add_case(case_toml(), name)
    run = workspace.run("-k", "speedup", *TWO, guarded=False)
    assert run.code == 0, run.output
    for case in ("a", "b"):
        subject = run.subject("identity", case)
        assert len(subject.speeds.baseline_s) >= 3
        assert subject.fingerprint is not None
        assert subject.fingerprint.timing.threads == 1
    assert all(f"[{worker}] speedup: warm-up" in run.output for worker in ("gw0", "gw1")), run.output
