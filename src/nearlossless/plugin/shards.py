"""`--shard K/N`: the cases of a run, split over N hosts."""

import argparse
import hashlib
from collections.abc import Sequence

import pytest

from nearlossless.plugin.items import subject_of
from nearlossless.record.shard import Shard


def parse_shard(text: str) -> Shard:
    """`K/N` as an option's value; anything else is a usage error."""
    number, _, of = text.partition("/")
    if not (number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
        raise argparse.ArgumentTypeError(f"{text!r}: must be K/N with 1 <= K <= N, for example 2/3")
    return Shard(number=int(number), of=int(of))


def take_shard(items: Sequence[pytest.Item], shard: Shard) -> tuple[list[pytest.Item], Shard]:
    """
    The items of one shard, and the shard with the hash of what was split.

    Cases go round: of the sorted names that are still selected, shard K takes the K-th, the (K+N)-th, and so on. What
    is no gate belongs to every shard.

    Raises:
        pytest.UsageError: There are fewer cases than shards, so that one of them would have nothing to judge.
    """
    of_items = {item: subject for item in items if (subject := subject_of(item)) is not None}
    names = sorted({subject.case.name for subject in of_items.values()})
    if len(names) < shard.of:
        told = ", ".join(names) or "none"
        raise pytest.UsageError(
            f"--shard {shard}: {len(names)} case(s) selected ({told}), too few for {shard.of} shards"
        )
    mine = set(names[shard.number - 1 :: shard.of])
    kept = [item for item in items if item not in of_items or of_items[item].case.name in mine]
    split = sorted(item.nodeid for item in of_items)
    selection = hashlib.sha256("\n".join(split).encode()).hexdigest()[:16]
    return kept, shard.model_copy(update={"selection": selection})
