"""
pytest-xdist: one worker for each GPU or share of the cores, pinned to it before its Python starts.

The process that is started (the controller) pins the workers and collects nothing; they run the gates.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from nearlossless.devices import core_shares, installed_gpus, visible_gpus
from nearlossless.parts import FOLDER
from nearlossless.plugin.beginning import begin
from nearlossless.plugin.budget import budget_minutes, find_needs, packed, start_clock
from nearlossless.plugin.items import GROUP, is_worker
from nearlossless.plugin.stash import DEADLINE, HAS_BEGUN, REFUSED, RUN, TOLD
from nearlossless.progress import Progress

WORKER_INPUT = "nearlossless"
_REFUSED = "nearlossless_refused"
_CORES, _VISIBLE = "NEARLOSSLESS_CORES", "CUDA_VISIBLE_DEVICES"


def _gpus() -> list[str]:
    return visible_gpus(os.environ.get(_VISIBLE), installed_gpus())


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """`-n auto`: a worker for each share of the cores, or each visible GPU; xdist decides where there is neither."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None
    return config.getoption("cpu_shares") or len(_gpus()) or None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(config: pytest.Config, specs: Sequence[Any]) -> None:
    """Pin each worker in its environment, before its Python starts; one that takes its place is pinned likewise."""
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
    """Tell a worker how its tests are grouped, what is known of each gate, and when the budget ends."""
    config = node.config
    if TOLD not in config.stash:
        has_budget = budget_minutes(config) is not None
        start_clock(config, len(node.nodemanager.specs))
        config.stash[TOLD] = {
            "grouped": config.getoption("dist") == "loadgroup",
            "needs": packed(find_needs(config)) if has_budget else [],
            "deadline": config.stash.get(DEADLINE, None),
        }
    node.workerinput[WORKER_INPUT] = config.stash[TOLD]


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Group by subject where xdist would deal out single tests; bind a worker to its cores."""
    if not is_worker(config):
        if config.getoption("dist", "no") == "load":
            config.option.dist, config.option.loadscopereorder = "loadgroup", False
        return
    told = config.workerinput[WORKER_INPUT]  # type: ignore[attr-defined]
    config.option.loadgroup = told["grouped"]
    if told["deadline"] is not None:
        config.stash[DEADLINE] = told["deadline"]
    if _CORES in os.environ:
        os.sched_setaffinity(0, map(int, os.environ[_CORES].split(",")))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: Any, ids: Sequence[str]) -> None:
    """Before any worker begins: whether each has a device to itself, and whether the report can be written."""
    devices = {test.rpartition(GROUP)[2].partition(":")[0] for test in ids if GROUP in test}
    if devices and HAS_BEGUN not in node.config.stash:
        _check_devices(node.config, devices, node.nodemanager.specs)
        begin(node.config)
        node.config.stash[HAS_BEGUN] = True


def _check_devices(config: pytest.Config, devices: set[str], specs: Sequence[Any]) -> None:
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

    lock = FileLock(config.stash[RUN].folder / FOLDER / "quiet.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        with progress.phase("waits until the processes of other workers have been timed"):
            lock.acquire()
    try:
        yield
    finally:
        lock.release()
