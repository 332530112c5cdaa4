"""`--tier` and `--budget`: GPU-minutes that a run may spend, and where it spends them first."""

import time
from collections.abc import Mapping, Sequence
from itertools import groupby

import pytest

from nearlossless.history.needs import BUDGET_ENDED, NEVER, Key, Known, Need, needs
from nearlossless.history.store import newest
from nearlossless.plugin.items import gate_of, subject_of
from nearlossless.plugin.keeping import history_folder
from nearlossless.plugin.stash import DEADLINE, LEFT_OUT
from nearlossless.runs.devices import gpu_names

TIERS = ("pr = 20", "nightly = 180", "release = 480")
RUNS = 60  # of the history, the newest; what was judged before them counts as never judged


class BudgetEnded(Exception):
    """A gate that the budget did not reach: there is no evidence, and no verdict but INCONCLUSIVE."""


def budget_minutes(config: pytest.Config) -> float | None:
    """
    GPU-minutes of this run; None without a budget.

    Raises:
        pytest.UsageError: Both options were given, no such tier, or no positive number.
    """
    tier, minutes = config.getoption("tier"), config.getoption("budget")
    if tier is None:
        if minutes is not None and not minutes > 0:
            raise pytest.UsageError(f"--budget {minutes}: must be above zero")
        return float(minutes) if minutes is not None else None
    if minutes is not None:
        raise pytest.UsageError("--tier and --budget both say how many minutes there are: give one of them")
    tiers = _tiers(config)
    if tier not in tiers:
        raise pytest.UsageError(f"--tier {tier}: is none of nearlossless_tiers: {', '.join(tiers)}")
    return tiers[tier]


def _tiers(config: pytest.Config) -> dict[str, float]:
    found = {}
    for line in config.getini("nearlossless_tiers"):
        name, _, minutes = (part.strip() for part in line.partition("="))
        try:
            found[name] = float(minutes)
        except ValueError:
            found[name] = 0.0
        if not found[name] > 0:
            raise pytest.UsageError(f"nearlossless_tiers: {line!r}: must be NAME = MINUTES")
    return found


def start_clock(config: pytest.Config, workers: int) -> None:
    """From now on the budget runs; each worker, and each shard of the run, spends an equal part of it."""
    minutes = budget_minutes(config)
    if minutes is not None:
        shard = config.getoption("shard")
        hosts = shard.of if shard is not None else 1
        config.stash[DEADLINE] = time.monotonic() + minutes * 60 / (workers * hosts)


def check_budget(config: pytest.Config) -> None:
    """
    Whether there is time left to begin a gate. One that has begun comes to its end.

    Raises:
        BudgetEnded: There is none.
    """
    deadline = config.stash.get(DEADLINE, None)
    if deadline is not None and time.monotonic() >= deadline:
        name = config.getoption("tier")
        told = f"tier '{name}'" if name is not None else f"--budget {config.getoption('budget'):g}"
        raise BudgetEnded(f"{BUDGET_ENDED}: {told}")


def find_needs(config: pytest.Config) -> dict[Key, Need]:
    """What the history knows of each gate here; nothing without a history. Files that it cannot read are named."""
    folder = history_folder(config)
    if folder is None or not folder.is_dir():
        return {}
    from nearlossless.environment import hardware_name, stack

    try:
        loaded = newest(folder, RUNS)
    except OSError as error:
        config.stash[LEFT_OUT] = [f"{folder}: cannot be read ({error.strerror})"]
        return {}
    config.stash[LEFT_OUT] = loaded.skipped
    return needs(loaded.entries, stack(), {hardware_name("cpu"), *gpu_names()})


def packed(found: Mapping[Key, Need]) -> list[list[str | int]]:
    """Needs as a worker is told of them."""
    return [[*key, int(need.known), need.judged] for key, need in found.items()]


def unpacked(told: Sequence[Sequence[str | int]]) -> dict[Key, Need]:
    """What `packed` made."""
    return {
        (str(case), str(recipe), str(device), str(gate)): Need(Known(int(known)), str(judged))
        for case, recipe, device, gate, known, judged in told
    }


def by_need(items: Sequence[pytest.Item], found: Mapping[Key, Need], *, together: bool) -> list[pytest.Item]:
    """
    Gates of which least is known first; of one subject side by side those that are known equally well.

    A subject is taken up twice where some of its gates are known and others are not, so that a budget which always
    ends within its first gates reaches the others the next time.

    Args:
        items: Subject by subject, each in the order in which its gates may run.
        found: What is known; whatever is not in it was never judged.
        together: Leave the gates of a subject in one place all the same, as xdist does with a group.
    """
    ranks = {item: rank for rank, item in enumerate(items)}
    blocks: dict[tuple[str, bool], list[tuple[Need, pytest.Item]]] = {}
    rest: list[pytest.Item] = []
    for item in items:
        subject = subject_of(item)
        if subject is None:
            rest.append(item)
            continue
        need = found.get((subject.case.name, subject.recipe_name, subject.device, gate_of(item)), NEVER)
        blocks.setdefault((subject.id, not together and need.known is Known.JUDGED), []).append((need, item))
    ordered = sorted(blocks.items(), key=lambda block: min(need for need, _ in block[1]))
    for _, neighbours in groupby(ordered, key=lambda block: block[0][0]):
        rest += sorted((item for _, block in neighbours for _, item in block), key=ranks.__getitem__)
    return rest
