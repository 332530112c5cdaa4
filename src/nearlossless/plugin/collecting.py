"""Which gates a run has, and in which order."""

from collections.abc import Generator
from contextlib import nullcontext

import pytest

from nearlossless.cases.case import CaseError
from nearlossless.collector import collector_paused
from nearlossless.plugin.budget import budget_minutes, by_need, find_needs, unpacked
from nearlossless.plugin.items import baselines_folder, has_cases, is_worker, subject_of
from nearlossless.plugin.shards import take_shard
from nearlossless.plugin.stash import RANKS, RUN, SELECTION, SELECTION_ERROR
from nearlossless.plugin.workers import WORKER_INPUT, refuse, tell_groups
from nearlossless.runs.selection import Subject, select_subjects
from nearlossless.stacks.interpreters import find_interpreter


def _subjects(config: pytest.Config) -> list[Subject]:
    """The selected subjects, read once a session, however many gate tests ask for them."""
    if SELECTION not in config.stash:
        try:
            config.stash[SELECTION] = select_subjects(
                baselines_folder(config),
                cases=config.getoption("case"),
                recipes=config.getoption("recipe"),
                backend=config.getoption("backend"),
                processes=config.getoption("processes"),
            )
        except CaseError as error:
            # Raised here it would be shown once a module, as a collection error.
            config.stash[SELECTION], config.stash[SELECTION_ERROR] = [], str(error)
    return config.stash[SELECTION]


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Tests are made by the thousand and none is dropped: no garbage is looked for among them meanwhile."""
    with collector_paused() if has_cases(session.config) else nullcontext():
        return (yield)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One set of gate tests for each selected (case, device, recipe); those on CUDA are marked `gpu`."""
    if "subject" not in metafunc.fixturenames:
        return
    subjects = _subjects(metafunc.config)
    if _is_release(metafunc.definition, metafunc.config) or _lacks_stack(metafunc.definition, metafunc.config):
        subjects = subjects[:1]  # left out below; of a thousand cases pytest would make thousands of tests before
    parameters = [
        pytest.param(subject, id=subject.id, marks=[pytest.mark.gpu] if subject.device == "cuda" else [])
        for subject in subjects
    ]
    metafunc.parametrize("subject", parameters, indirect=True, scope="session")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The shard's part; subject by subject, and in each the gates with processes of their own before any pipeline."""
    try:
        minutes = budget_minutes(config)
        _select(config, items)
    except pytest.UsageError as error:
        refuse(config, items, error)
        return
    subjects = list(dict.fromkeys(subject.id for item in items if (subject := subject_of(item))))
    config.stash[RANKS] = {subject: rank for rank, subject in enumerate(subjects)}
    items.sort(key=lambda item: _place(item, config.stash[RANKS]))
    if minutes is not None:
        in_group = is_worker(config)
        found = unpacked(config.workerinput[WORKER_INPUT]["needs"]) if in_group else find_needs(config)  # type: ignore[attr-defined]
        items[:] = by_need(items, found, together=in_group)
    tell_groups(config, items)


def _select(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave what this run is about."""
    if SELECTION_ERROR in config.stash:
        raise pytest.UsageError(config.stash[SELECTION_ERROR])
    _leave_out_releases(config, items)
    _leave_out_other_stacks(config, items)
    _leave_out_other_shards(config, items)


def _place(item: pytest.Item, ranks: dict[str, int]) -> tuple[int, bool]:
    subject = subject_of(item)
    if subject is None:
        return (-1, False)
    return (ranks[subject.id], "baseline_pipeline" in getattr(item, "fixturenames", ()))


def _is_release(item: pytest.Item, config: pytest.Config) -> bool:
    """Hours of drawing are asked for by name."""
    return item.get_closest_marker("release") is not None and "release" not in config.getoption("markexpr")


def _lacks_stack(item: pytest.Item, config: pytest.Config) -> bool:
    """Without another stack, gates that compare with one are none of this run's: neither skipped nor counted."""
    return "other_stack" in getattr(item, "fixturenames", ()) and config.getoption("against") is None


def _leave_out_releases(config: pytest.Config, items: list[pytest.Item]) -> None:
    kept = [item for item in items if not _is_release(item, config)]
    if items and not kept:
        raise pytest.UsageError("gates marked 'release' run only with -m release")
    items[:] = kept


def _leave_out_other_stacks(config: pytest.Config, items: list[pytest.Item]) -> None:
    against = config.getoption("against")
    if against is not None and find_interpreter(against) is None:
        raise pytest.UsageError(f"--against {against}: is no program that can be run")
    kept = [item for item in items if not _lacks_stack(item, config)]
    if items and not kept:
        raise pytest.UsageError(
            "gates that compare two stacks need --against PYTHON, another environment's interpreter"
        )
    items[:] = kept


def _leave_out_other_shards(config: pytest.Config, items: list[pytest.Item]) -> None:
    shard = config.getoption("shard")
    if shard is None or not any(subject_of(item) for item in items):
        return
    kept, config.stash[RUN].shard = take_shard(items, shard)
    chosen = set(kept)
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = kept
