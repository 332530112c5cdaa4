"""Which gates a shard has, and in which order a budget takes them up."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import cast

import pytest
from tests.unit.conftest import MakeSubject

from nearlossless.cases.case import Case
from nearlossless.cases.recipes import Recipe
from nearlossless.history.needs import Key, Known, Need
from nearlossless.plugin.budget import by_need, packed, unpacked
from nearlossless.plugin.shards import parse_shard, take_shard
from nearlossless.record.shard import Shard
from nearlossless.runs.selection import Subject

GATES = ("memory", "quality")
EARLY, LATE = "2026-01-01", "2026-01-02"


@dataclass(eq=False)  # as pytest.Item: each is only itself
class Collected:
    """As much of a collected test as deciding about it takes."""

    nodeid: str
    gate: str
    subject: Subject | None = None

    @property
    def callspec(self) -> SimpleNamespace:
        """With the subject, if there is one."""
        return SimpleNamespace(params={} if self.subject is None else {"subject": self.subject})

    def get_closest_marker(self, _name: str) -> SimpleNamespace:
        """The gate's."""
        return SimpleNamespace(args=(self.gate,))


@pytest.fixture
def collected(make_subject: MakeSubject, miniature_case: Case) -> list[pytest.Item]:
    """Two gates of each of three cases, and a test that is no gate."""
    items: list[Collected] = [Collected("plain", "plain")]
    for name in ("a", "b", "c"):
        case = miniature_case.model_copy(update={"name": name})
        subject = replace(make_subject(case, Recipe(backend="inductor")), recipe_name="r")
        items += [Collected(f"{name} {gate}", gate, subject) for gate in GATES]
    return cast("list[pytest.Item]", items)


def ids(items: Sequence[pytest.Item]) -> list[str]:
    """Of tests in order."""
    return [item.nodeid for item in items]


def known(**needs: Need) -> dict[Key, Need]:
    """What is known of gates, named as `a_memory`."""
    return {(name[0], "r", "cpu", name[2:]): need for name, need in needs.items()}


def judged(day: str) -> Need:
    """A gate that was judged here."""
    return Need(Known.JUDGED, day)


def test_without_evidence_the_order_stays(collected: list[pytest.Item]) -> None:
    """Where nothing is known, gates run as collected; what is no gate comes first."""
    assert ids(by_need(collected, {}, together=False)) == ids(collected)


def test_never_judged_comes_before_inconclusive_before_oldest(collected: list[pytest.Item]) -> None:
    """Whole subjects in the order of their need."""
    found = known(
        a_memory=judged(LATE),
        a_quality=judged(LATE),
        b_memory=judged(EARLY),
        b_quality=judged(EARLY),
        c_memory=Need(Known.INCONCLUSIVE, LATE),
        c_quality=Need(Known.INCONCLUSIVE, LATE),
    )
    order = ["plain", "c memory", "c quality", "b memory", "b quality", "a memory", "a quality"]
    assert ids(by_need(collected, found, together=False)) == order
    found.pop(("a", "r", "cpu", "memory"))
    assert ids(by_need(collected, found, together=False))[1] == "a memory"


def test_known_gates_of_a_subject_come_later(collected: list[pytest.Item]) -> None:
    """A subject is taken up again for the gates that are known, after what is not known of others."""
    found = known(a_memory=judged(LATE), b_memory=judged(EARLY), b_quality=judged(EARLY))
    assert ids(by_need(collected, found, together=False))[1:] == [
        "a quality",
        "c memory",
        "c quality",
        "b memory",
        "b quality",
        "a memory",
    ]


def test_neighbours_of_a_subject_keep_their_order(collected: list[pytest.Item]) -> None:
    """Gates with processes of their own stay before those with pipelines, where nothing comes between."""
    found = known(a_memory=judged(LATE))
    assert ids(by_need(collected[:3], found, together=False)) == ["plain", "a memory", "a quality"]


def test_group_stays_together(collected: list[pytest.Item]) -> None:
    """Under xdist a subject is one piece, as needed as its least known gate."""
    found = known(a_memory=judged(EARLY), a_quality=judged(EARLY), b_memory=judged(LATE))
    assert ids(by_need(collected, found, together=True))[1:] == [
        "b memory",
        "b quality",
        "c memory",
        "c quality",
        "a memory",
        "a quality",
    ]


def test_workers_are_told_everything() -> None:
    """What is known survives the way to a worker."""
    found = known(a_memory=judged(EARLY), b_quality=Need(Known.INCONCLUSIVE, LATE), c_memory=Need())
    assert unpacked(packed(found)) == found


@pytest.mark.parametrize("text", ["", "1", "0/2", "3/2", "-1/2", "1/0", "a/b", "1/2/3", "1.5/2"])
def test_no_such_shard(text: str) -> None:
    """Anything but K of N is refused."""
    with pytest.raises(argparse.ArgumentTypeError, match="K/N"):
        parse_shard(text)


@pytest.mark.parametrize("of", [1, 2, 3])
def test_shards_are_the_whole(collected: list[pytest.Item], of: int) -> None:
    """Every gate is in exactly one shard, other tests in each; no shard is larger than another by more than a case."""
    parts = [take_shard(collected, Shard(number=number, of=of)) for number in range(1, of + 1)]
    gates = [[name for name in ids(kept) if name != "plain"] for kept, _ in parts]
    assert sorted(name for part in gates for name in part) == sorted(ids(collected)[1:])
    assert all("plain" in ids(kept) for kept, _ in parts)
    assert max(map(len, gates)) - min(map(len, gates)) <= len(GATES)
    assert len({shard.selection for _, shard in parts}) == 1


def test_other_selection_is_another_run(collected: list[pytest.Item]) -> None:
    """Shards of which one left a gate out do not pass for parts of one run, whatever the order of collection."""
    shard = Shard(number=1, of=2)
    _, whole = take_shard(collected, shard)
    assert take_shard(collected[::-1], shard)[1] == whole
    assert take_shard(collected[:-1], shard)[1] != whole


def test_shard_without_a_case_is_refused(collected: list[pytest.Item]) -> None:
    """Four shards of three cases are an error for each of them, not an empty green run of one."""
    for number in range(1, 5):
        with pytest.raises(pytest.UsageError, match="too few for 4 shards"):
            take_shard(collected, Shard(number=number, of=4))
