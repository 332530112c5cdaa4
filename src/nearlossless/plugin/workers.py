"""
pytest-xdist: one worker for each GPU or share of the cores, pinned to it before its Python starts.

The process that is started (the controller) pins the workers and hands tests to them; they collect and run the gates.
xdist's own `--dist loadgroup` tells groups by changing the ids of tests, which pytest 9.2 does not allow any more
(https://github.com/pytest-dev/pytest-xdist/issues/1386): here workers write them into a folder that all share.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from nearlossless.atomic import write_text
from nearlossless.plugin.beginning import begin
from nearlossless.plugin.budget import budget_minutes, find_needs, packed, start_clock
from nearlossless.plugin.items import group_of, has_cases, is_worker, subject_of
from nearlossless.plugin.stash import DEADLINE, DESK, GROUPS, HAS_BEGUN, REFUSED, TOLD
from nearlossless.progress import Progress
from nearlossless.runs.devices import core_shares, installed_gpus, visible_gpus

WORKER_INPUT = "nearlossless"
_REFUSED = "nearlossless_refused"
_CORES, _VISIBLE = "NEARLOSSLESS_CORES", "CUDA_VISIBLE_DEVICES"


def _gpus() -> list[str]:
    return visible_gpus(os.environ.get(_VISIBLE), installed_gpus())


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """`-n auto`: a worker for each share of the cores, or each visible GPU; xdist decides where there is neither."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ or not has_cases(config):
        return None
    return config.getoption("cpu_shares") or len(_gpus()) or None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(config: pytest.Config, specs: Sequence[Any]) -> None:
    """Pin each worker in its environment, before its Python starts; one that takes its place is pinned likewise."""
    if not has_cases(config):
        return
    gpus = _gpus()
    if len(specs) <= len(gpus):
        for spec, gpu in zip(specs, gpus, strict=False):
            spec.env[_VISIBLE] = gpu
    if config.getoption("cpu_shares") is None:
        return
    try:
        shares = core_shares(sorted(os.sched_getaffinity(0)), config.getoption("cpu_shares"))
    except ValueError as error:
        raise pytest.UsageError(f"--cpu-shares: {error}") from None
    for spec, cores in zip(specs, shares, strict=False):
        threads = min(len(cores), int(os.environ.get("OMP_NUM_THREADS") or len(cores)))
        spec.env |= {_CORES: ",".join(map(str, cores)), "OMP_NUM_THREADS": str(threads)}


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of the shared folder, of what is known of each gate, and of when the budget ends."""
    config = node.config
    if TOLD not in config.stash:
        has_budget = budget_minutes(config) is not None
        start_clock(config, len(node.nodemanager.specs))
        config.stash[DESK] = Path(tempfile.mkdtemp(prefix="nearlossless-"))
        config.stash[GROUPS] = {}
        config.stash[TOLD] = {
            "desk": str(config.stash[DESK]),
            "needs": packed(find_needs(config)) if has_budget else [],
            "deadline": config.stash.get(DEADLINE, None),
        }
    node.workerinput[WORKER_INPUT] = config.stash[TOLD]


def pytest_configure(config: pytest.Config) -> None:
    """Take over what a worker is told, and bind it to its cores."""
    if not is_worker(config):
        return
    told = config.workerinput[WORKER_INPUT]  # type: ignore[attr-defined]
    config.stash[DESK] = Path(told["desk"])
    if told["deadline"] is not None:
        config.stash[DEADLINE] = told["deadline"]
    if _CORES in os.environ:
        os.sched_setaffinity(0, map(int, os.environ[_CORES].split(",")))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the shared folder."""
    if DESK in config.stash and not is_worker(config):
        shutil.rmtree(config.stash[DESK], ignore_errors=True)


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """All gates of a group on one worker, in the order collected; other tests as xdist deals them out."""
    if config.getoption("dist") not in {"load", "loadgroup"} or not has_cases(config):
        return None
    from xdist.scheduler import LoadGroupScheduling

    class GateScheduling(LoadGroupScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            found: str = config.stash[GROUPS].get(nodeid) or super()._split_scope(nodeid)
            return found

    config.option.loadscopereorder = False
    return GateScheduling(config, log)


def tell_groups(config: pytest.Config, items: Sequence[pytest.Item]) -> None:
    """A worker's word to its controller on which tests stay together; nothing without xdist."""
    if is_worker(config):
        groups = {item.nodeid: group_of(config, subject) for item in items if (subject := subject_of(item))}
        write_text(_groups_path(config, config.workerinput["workerid"]), json.dumps(groups))  # type: ignore[attr-defined]


def _groups_path(config: pytest.Config, worker: str) -> Path:
    return config.stash[DESK] / "groups" / f"{worker}.json"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: Any) -> None:
    """Before any worker begins: whether each has a device to itself, and whether the report can be written."""
    config, path = node.config, _groups_path(node.config, node.gateway.id)
    groups = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    config.stash[GROUPS].update(groups)
    if groups and HAS_BEGUN not in config.stash:
        devices = {group.partition(":")[0] for group in groups.values()}
        _check_devices(config, devices, node.nodemanager.specs)
        begin(config)
        config.stash[HAS_BEGUN] = True


def _check_devices(config: pytest.Config, devices: set[str], specs: Sequence[Any]) -> None:
    if config.getoption("dist") not in {"load", "loadgroup"}:
        raise pytest.UsageError("all gates of a subject belong on one worker: leave --dist out")
    if not all(spec.popen for spec in specs):
        raise pytest.UsageError("gates run on workers of this machine alone: use --shard K/N over several hosts")
    gpus, shares = len(_gpus()), config.getoption("cpu_shares") or 1
    if "cuda" in devices and len(specs) > gpus:
        raise pytest.UsageError(
            f"{len(specs)} workers for {gpus} visible GPU(s): each needs one to itself; use -n auto"
        )
    if "cpu" in devices and len(specs) > shares:
        raise pytest.UsageError(
            f"{len(specs)} workers would time gates on the same CPU: leave these out with -m gpu, or give each worker"
            f" cores of its own: --cpu-shares {len(specs)}"
        )


def refuse(config: pytest.Config, items: list[pytest.Item], error: pytest.UsageError) -> None:
    """End with a usage error; a worker, which cannot, hands it to its controller and runs nothing."""
    if not is_worker(config):
        raise error
    config.workeroutput[_REFUSED] = str(error)  # type: ignore[attr-defined]
    items.clear()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:  # noqa: ARG001 (as xdist calls it)
    """Take over why a worker refused to run anything."""
    if refused := getattr(node, "workeroutput", {}).get(_REFUSED):
        node.config.stash[REFUSED] = refused


@contextmanager
def quiet_machine(config: pytest.Config, progress: Progress) -> Iterator[None]:
    """Alone among the workers of this machine: processes that are timed from their start on come one by one."""
    if not is_worker(config):
        yield
        return
    from filelock import FileLock, Timeout

    lock = FileLock(config.stash[DESK] / "quiet.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        with progress.phase("waits until the processes of other workers have been timed"):
            lock.acquire()
    try:
        yield
    finally:
        lock.release()
