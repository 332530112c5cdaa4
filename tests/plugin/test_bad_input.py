"""Misbehaving backends, damaged baselines and missing evidence never come out green, and never end the session."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from PIL import Image, ImageOps
from tests.plugin.inner import (
    IDENTITY,
    LOOSE,
    TIME_LIMIT_S,
    UNGUARDED,
    Approval,
    InnerRun,
    MakeWorkspace,
    Workspace,
    case_toml,
    tree,
)

from nearlossless.verdicts import EXIT_REGRESSION, Outcome

pytestmark = pytest.mark.slow

# What each backend's quality verdict must say, where the backend runs in pytest's own process.
IN_PROCESS = {
    "raises": "planted: no such kernel",
    "returns_none": "returned NoneType, not a pipeline",
    "returns_number": "returned int, not a pipeline",
    "quits": "SystemExit",
    "breaks_at_draw": "planted: bad kernel launch",
    "quits_at_draw": "SystemExit",
    "skips": "Skipped",
    "skips_at_draw": "Skipped",
    "draws_nothing": "without exactly one picture",
}
# The same, where it is tried in a process of its own first.
GUARDED = {"vanishes": "the process ended in phase 'load' with exit code 0"}
UNKNOWN_PART = 'backend = "planted_backends:identity"\ntouches = ["unet"]'
FOREIGN_HARDWARE = "cpu-of-another-make"


def without(name: str) -> dict[str, float]:
    """The loose thresholds but one."""
    return {key: value for key, value in LOOSE.items() if key != name}


def edit_sidecar(case: Path, keys: tuple[str, ...], value: object) -> None:
    """Set one key of the case's only sidecar."""
    (path,) = case.rglob("*.json")
    content = json.loads(path.read_text(encoding="utf-8"))
    inner = content
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    path.write_text(json.dumps(content), encoding="utf-8")


def picture_of(case: Path) -> Path:
    """The case's only expected picture."""
    (path,) = case.rglob("*.png")
    return path


@pytest.fixture(scope="module")
def ran(approval: Approval, make_workspace: MakeWorkspace) -> InnerRun:
    """One run of the quality gate over everything that can be wrong with a backend or a stored picture."""
    workspace, expected = make_workspace("bad-input"), approval.expected
    recipes = {name: f'backend = "planted_backends:{name}"' for name in IN_PROCESS}
    recipes["writes_in_place"] = 'backend = "planted_backends:writes_in_place"\ntouches = ["text_encoder"]'
    recipes["unknown_part"] = UNKNOWN_PART
    recipes["broken_module"] = 'backend = "broken_module:apply"'
    (workspace.folder / "broken_module.py").write_text("raise OSError('planted: no such library')\n", encoding="utf-8")
    recipes["no_module"] = 'backend = "no_such_module:apply"'
    recipes["no_function"] = 'backend = "planted_backends:no_such_function"'
    recipes["declared"] = (
        'backend = "planted_backends:identity"\nnot_applicable = { quality = "draws in another style on purpose" }'
    )
    workspace.add_case(case_toml({**IDENTITY, **recipes}), expected=expected)
    truncated = picture_of(workspace.add_case(case_toml(), name="truncated", expected=expected))
    truncated.write_bytes(truncated.read_bytes()[:-200])
    swapped = picture_of(workspace.add_case(case_toml(), name="swapped", expected=expected))
    ImageOps.invert(Image.open(swapped)).save(swapped)
    moved = workspace.add_case(case_toml(), name="moved", expected=expected)
    edit_sidecar(moved, ("seed",), 21)
    garbled = workspace.add_case(case_toml(), name="garbled", expected=expected)
    (sidecar,) = garbled.rglob("*.json")
    sidecar.write_text("{", encoding="utf-8")
    foreign = workspace.add_case(case_toml(), name="foreign", expected=expected)
    edit_sidecar(foreign, ("identity", "hardware"), FOREIGN_HARDWARE)
    banded_toml = case_toml(thresholds={**LOOSE, "foreign.min_ssim": 0.5})
    banded = workspace.add_case(banded_toml, name="banded", expected=expected)
    edit_sidecar(banded, ("identity", "hardware"), FOREIGN_HARDWARE)
    for threshold in ("live.min_ssim", "stored.min_ssim", "max_clip_drop"):
        name = threshold.replace("_", "-")
        workspace.add_case(case_toml(thresholds=without(threshold)), name=name, expected=expected)
    return workspace.run("-k", "quality", guarded=False)


def test_bad_input_exits_with_one(ran: InnerRun) -> None:
    """Any regression among other outcomes decides the exit code."""
    assert ran.code == EXIT_REGRESSION, ran.output


@pytest.mark.parametrize("backend", IN_PROCESS)
def test_bad_backend_is_a_regression(ran: InnerRun, backend: str) -> None:
    """A backend that raises, exits, returns no pipeline or draws no picture is a REGRESSION that says so."""
    verdict = ran.verdict("quality", backend)
    assert (verdict.outcome, IN_PROCESS[backend] in verdict.reason) == (Outcome.REGRESSION, True), verdict.reason


@pytest.mark.parametrize("backend", ["no_module", "no_function"])
def test_missing_backend_is_a_regression(ran: InnerRun, backend: str) -> None:
    """A backend that cannot be imported is a REGRESSION that names what is missing."""
    verdict = ran.verdict("quality", backend)
    assert verdict.outcome == Outcome.REGRESSION
    assert "no_such_" in verdict.reason


def test_module_that_fails_on_import_is_a_regression(ran: InnerRun) -> None:
    """A backend whose module raises while it is imported is a REGRESSION that says so."""
    verdict = ran.verdict("quality", "broken_module")
    assert (verdict.outcome, "planted: no such library" in verdict.reason) == (Outcome.REGRESSION, True), verdict.reason


def test_good_backend_passes_among_bad_ones(ran: InnerRun) -> None:
    """What other recipes do wrong does not reach the verdict on a good one."""
    verdict = ran.verdict("quality")
    assert verdict.outcome == Outcome.PASS, verdict.reason


def test_session_survives_bad_backends(ran: InnerRun) -> None:
    """Pytest ends with its own summary, and every subject has exactly one quality verdict in the record."""
    assert "short test summary info" in ran.output
    assert {len(subject.verdicts) for subject in ran.record.subjects} == {1}


def test_changed_baseline_is_not_comparable(ran: InnerRun) -> None:
    """A backend that writes into weights it shares with the baseline is NOT_COMPARABLE and told of."""
    verdict = ran.verdict("quality", "writes_in_place")
    assert verdict.outcome == Outcome.NOT_COMPARABLE
    assert "the backend changed the baseline" in verdict.reason


def test_unknown_component_is_not_comparable(ran: InnerRun) -> None:
    """A recipe that touches what the pipeline lacks is NOT_COMPARABLE and names the components that there are."""
    verdict = ran.verdict("quality", "unknown_part")
    assert verdict.outcome == Outcome.NOT_COMPARABLE
    assert "text_encoder" in verdict.reason


@pytest.mark.parametrize(
    ("case", "told"),
    [
        ("truncated", "unusable picture"),
        ("swapped", "not the picture that its sidecar describes"),
        ("moved", "another prompt, seed, size"),
        ("garbled", "unusable sidecar"),
    ],
)
def test_damaged_expected_picture_is_not_comparable(ran: InnerRun, case: str, told: str) -> None:
    """A truncated, exchanged or wrongly described expected picture is NOT_COMPARABLE and says which."""
    verdict = ran.verdict("quality", case=case)
    assert (verdict.outcome, told in verdict.reason) == (Outcome.NOT_COMPARABLE, True), verdict.reason


def test_foreign_picture_without_band_is_not_comparable(ran: InnerRun) -> None:
    """An expected picture of other hardware is NOT_COMPARABLE where the case names no band for it."""
    verdict = ran.verdict("quality", case="foreign")
    assert verdict.outcome == Outcome.NOT_COMPARABLE
    assert f"hardware: {FOREIGN_HARDWARE} -> " in verdict.reason


def test_foreign_picture_within_band_passes(ran: InnerRun) -> None:
    """An expected picture of other hardware is compared under the band that the case names for it."""
    verdict = ran.verdict("quality", case="banded")
    (check,) = [check for check in verdict.checks if "stored worst-tile" in check.name]
    assert (verdict.outcome, check.threshold) == (Outcome.PASS, 0.5), verdict.reason


def test_foreign_picture_is_shown_as_foreign(ran: InnerRun) -> None:
    """A comparison with a foreign picture says in the check what differs, even when it passes."""
    (check,) = [check for check in ran.verdict("quality", case="banded").checks if "stored worst-tile" in check.name]
    assert f"foreign picture identity: hardware: {FOREIGN_HARDWARE} -> " in check.note


@pytest.mark.parametrize("threshold", ["live.min_ssim", "stored.min_ssim", "max_clip_drop"])
def test_absent_threshold_is_not_comparable(ran: InnerRun, threshold: str) -> None:
    """A gate one of whose thresholds the case leaves out is NOT_COMPARABLE: not yet measured."""
    verdict = ran.verdict("quality", case=threshold.replace("_", "-"))
    assert (verdict.outcome, "not yet measured" in verdict.reason) == (Outcome.NOT_COMPARABLE, True), verdict.reason


def test_not_applicable_gate_is_recorded(ran: InnerRun) -> None:
    """A gate that the recipe declares away is recorded as NOT_APPLICABLE with the recipe's reason."""
    verdict = ran.verdict("quality", "declared")
    assert (verdict.outcome, verdict.reason) == (Outcome.NOT_APPLICABLE, "draws in another style on purpose")


def test_not_applicable_gate_is_skipped(ran: InnerRun) -> None:
    """Pytest shows a gate that the recipe declares away as skipped, with the reason."""
    assert any(
        line.startswith("SKIPPED") and "not applicable: draws in another style on purpose" in line
        for line in ran.output.splitlines()
    )


@pytest.fixture(scope="module")
def guarded(approval: Approval, make_workspace: MakeWorkspace) -> InnerRun:
    """Backends that end their process, run as a user runs them."""
    workspace = make_workspace("guarded")
    recipes = {name: f'backend = "planted_backends:{name}"' for name in GUARDED}
    recipes["unknown_part"] = UNKNOWN_PART
    workspace.add_case(case_toml(recipes), expected=approval.expected)
    return workspace.run("-k", "memory or quality")


@pytest.mark.parametrize("gate", ["memory", "quality"])
@pytest.mark.parametrize("backend", GUARDED)
def test_process_that_ends_is_a_regression(guarded: InnerRun, backend: str, gate: str) -> None:
    """A backend that ends its process with exit code 0 is a REGRESSION in gates of both kinds."""
    verdict = guarded.verdict(gate, backend)
    assert (verdict.outcome, GUARDED[backend] in verdict.reason) == (Outcome.REGRESSION, True), verdict.reason


@pytest.mark.parametrize("gate", ["memory", "quality"])
def test_unknown_component_is_not_comparable_in_a_process(guarded: InnerRun, gate: str) -> None:
    """A mistake in the case file has the same verdict in a process of its own as in pytest's."""
    verdict = guarded.verdict(gate, "unknown_part")
    assert verdict.outcome == Outcome.NOT_COMPARABLE, verdict.reason


def test_session_survives_a_process_that_ends(guarded: InnerRun) -> None:
    """A backend that calls os._exit(0) ends neither pytest nor its summary, and the exit code is 1."""
    assert guarded.code == EXIT_REGRESSION, guarded.output
    assert "short test summary info" in guarded.output


def children(pid: int) -> list[int]:
    """Child processes of a process, as Linux tells them."""
    return [
        int(child)
        for task in Path(f"/proc/{pid}/task").glob("*/children")
        for child in task.read_text(encoding="ascii").split()
    ]


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def obey_interrupts() -> None:
    """A background job of a shell, as CI may start one, hands down that Ctrl-C is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def interrupt(
    workspace: Workspace, *arguments: str, when: str, by: signal.Signals = signal.SIGINT, file: str = ""
) -> tuple[int, str, list[int]]:
    """
    Start an inner run and send a signal to pytest alone once it has printed `when`, and left `file` in its folder.

    Returns:
        Exit code, output, and the processes that it had started when it was interrupted.
    """
    command = workspace.command(*arguments, report=workspace.folder / "report")
    log = workspace.folder / "log.txt"
    deadline = time.monotonic() + TIME_LIMIT_S
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=workspace.folder,
            env=workspace.environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=obey_interrupts,  # noqa: PLW1509 (no threads here)
        )
        try:
            while when not in log.read_text(encoding="utf-8") or not (workspace.folder / file).exists():
                assert process.poll() is None, log.read_text(encoding="utf-8")
                assert time.monotonic() < deadline, log.read_text(encoding="utf-8")
                time.sleep(0.1)
            started = children(process.pid)
            process.send_signal(by)
            code = process.wait(timeout=60)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    return code, log.read_text(encoding="utf-8"), started


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="child processes are read from Linux's /proc")
@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_kills_workers(make_workspace: MakeWorkspace, by: signal.Signals) -> None:
    """Ctrl-C, or a job's cancellation, while a worker hangs ends the run, the worker with it, and leaves a record."""
    workspace = make_workspace(f"interrupted-worker-{by.name}")
    workspace.add_case(case_toml({"sleeps": 'backend = "planted_backends:sleeps"'}))
    code, output, started = interrupt(workspace, "-k", "memory", when="cold process: first call", by=by)
    assert (workspace.folder / "report" / "record.json").exists(), output
    assert code == pytest.ExitCode.INTERRUPTED, output
    assert len(started) == 1, output
    assert not is_alive(started[0])


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="child processes are read from Linux's /proc")
def test_killed_run_leaves_no_worker(make_workspace: MakeWorkspace) -> None:
    """A run that is killed, as a CI runner does at its time limit, takes a hanging worker with it."""
    workspace = make_workspace("killed")
    workspace.add_case(case_toml({"sleeps": 'backend = "planted_backends:sleeps"'}))
    _, output, started = interrupt(workspace, "-k", "memory", when="cold process: first call", by=signal.SIGKILL)
    assert len(started) == 1, output
    deadline = time.monotonic() + 10
    while is_alive(started[0]) and time.monotonic() < deadline:
        time.sleep(0.1)
    left = is_alive(started[0])
    if left:
        os.kill(started[0], signal.SIGKILL)
    assert not left


@pytest.fixture(scope="module")
def interrupted_update(approval: Approval, make_workspace: MakeWorkspace) -> tuple[Workspace, int, str, bool]:
    """An update stopped by Ctrl-C between its first and its second picture, and whether baselines/ is as it was."""
    workspace = make_workspace("interrupted-update")
    recipe = 'backend = "planted_backends:sleeps_at_fifth_call"'
    workspace.add_case(case_toml({"sleeps": recipe}, seeds="[20, 21]"), expected=approval.expected)
    before = tree(workspace.baselines)
    (workspace.folder / "conftest.py").write_text(UNGUARDED, encoding="utf-8")
    code, output, _ = interrupt(
        workspace, "-k", "quality", "--update-baselines", when="pictures: 1 of 2", file="asleep"
    )
    return workspace, code, output, tree(workspace.baselines) == before


def test_interrupted_update_ends_at_once(interrupted_update: tuple[Workspace, int, str, bool]) -> None:
    """Ctrl-C inside a backend's pipeline ends the run with pytest's code for it, not with a verdict on the backend."""
    _, code, output, _ = interrupted_update
    assert (code, "REGRESSION" in output) == (pytest.ExitCode.INTERRUPTED, False), output


def test_interrupted_update_writes_no_baseline(interrupted_update: tuple[Workspace, int, str, bool]) -> None:
    """Ctrl-C while candidates are drawn leaves baselines/ as it was."""
    assert interrupted_update[3]


def test_interrupted_update_leaves_whole_candidates(interrupted_update: tuple[Workspace, int, str, bool]) -> None:
    """Ctrl-C while candidates are drawn leaves whole pairs of picture and sidecar, and no temporary file."""
    files = (interrupted_update[0].folder / "report" / "candidates").rglob("*")
    names = sorted(path.name for path in files if path.is_file())
    assert [Path(name).suffix for name in names] == [".json", ".png"], names
