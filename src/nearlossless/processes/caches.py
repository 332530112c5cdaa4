"""What a process found in torch's compile caches on disk, counted by torch itself."""

import importlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict

from nearlossless.fields import Int64


class CacheUse(BaseModel):
    """Lookups of one cache by one process."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    hits: Int64 = 0
    misses: Int64 = 0
    bypasses: Int64 = 0  # graphs that torch refuses to cache
    own_hits: Int64 = 0  # of what this very process had looked up before: a graph that occurs twice
    stored: Int64 | None = None  # what was compiled anew and kept; None: torch does not count it

    @property
    def foreign_hits(self) -> int:
        """Hits of what another process left."""
        return self.hits - self.own_hits

    @property
    def compiled(self) -> int:
        """
        Misses and bypasses that were compiled.

        A lookup that Dynamo abandons, to trace once more with other symbols, is a miss of which nothing is stored: it
        happens in every start, however warm.
        """
        return self.bypasses + (self.misses if self.stored is None else min(self.misses, self.stored))

    def __str__(self) -> str:
        return f"{self.hits} hits, {self.misses} misses, {self.bypasses} bypasses"


@dataclass(frozen=True, slots=True)
class _Cache:
    """Where torch counts the lookups of a cache, and the function that takes a lookup's key."""

    counters: str
    prefix: str
    module: str
    owner: str
    lookup: str


_CACHES = {
    "graphs": _Cache("inductor", "fxgraph_cache", "torch._inductor.codecache", "FxGraphCache", "_lookup_graph"),
    "autograd": _Cache(
        "aot_autograd",
        "autograd_cache",
        "torch._functorch._aot_autograd.autograd_cache",
        "AOTAutogradCache",
        "_lookup",
    ),
}


@contextmanager
def own_hits() -> Iterator[Counter[str]]:
    """
    Count, by cache, the hits of keys that were looked up before in this block.

    torch counts hits without saying whose. A cold start that compiles the same graph twice hits what it stored
    itself; only a key that it never missed shows that its cache was not empty.
    """
    repeated: Counter[str] = Counter()
    replaced: list[tuple[Any, str, Any]] = []
    try:
        for name, cache in _CACHES.items():
            owner = _owner(cache)
            if owner is not None and cache.lookup in vars(owner):
                replaced.append((owner, cache.lookup, vars(owner)[cache.lookup]))
                watched = _watched(getattr(owner, cache.lookup), name, repeated)
                setattr(owner, cache.lookup, staticmethod(watched))
        yield repeated
    finally:
        for owner, lookup, original in replaced:
            setattr(owner, lookup, original)


def _owner(cache: _Cache) -> Any | None:
    try:
        return getattr(importlib.import_module(cache.module), cache.owner, None)
    except ImportError:
        return None


def _watched(lookup: Callable[..., Any], name: str, repeated: Counter[str]) -> Callable[..., Any]:
    seen: set[str] = set()

    def watched(key: str, *arguments: Any, **options: Any) -> Any:
        found = lookup(key, *arguments, **options)
        entry = found[0] if isinstance(found, tuple) else found
        if entry is not None and key in seen:
            repeated[name] += 1
        if entry is None:
            seen.add(key)
        return found

    return watched


def cache_uses(own: Counter[str]) -> dict[str, CacheUse]:
    """
    Every cache that this process has looked anything up in, from its start on; torch 2.4 and later.

    `autograd` is empty before torch counts it (2.5), and `graphs` where the cache is off, as it is by default in
    torch 2.4. A compiler with caches of its own, as nexfort's, is not counted here.
    """
    from torch._dynamo.utils import counters

    found = {}
    for name, cache in _CACHES.items():
        counted = counters[cache.counters]
        hits, misses, bypasses, stored = (
            counted.get(f"{cache.prefix}_{word}") for word in ("hit", "miss", "bypass", "saved")
        )
        if hits or misses or bypasses:
            found[name] = CacheUse(
                hits=hits or 0,
                misses=misses or 0,
                bypasses=bypasses or 0,
                own_hits=min(own[name], hits or 0),
                stored=(stored or 0) if name == "autograd" else None,
            )
    return found
