"""Cache lookups as torch counts them: small graphs in real processes that share a cache folder or do not."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from nearlossless.backends import BackendUnavailable
from nearlossless.processes.artifacts import check_artifacts
from nearlossless.processes.caches import CacheUse
from nearlossless.processes.environment import cache_environment, child_environment

# Two functions of the same graph and, where asked for, one that torch refuses to cache; nothing is generated for them.
SCRIPT = """
import json, sys
import torch, torch._dynamo
from nearlossless.processes.artifacts import load_artifacts, save_artifacts
from nearlossless.processes.caches import cache_uses, own_hits
from pathlib import Path

def twice(x):
    return x * 2 + 1

def again(x):
    return x * 2 + 1

action, file = sys.argv[1], Path(sys.argv[2])
if action == "load":
    load_artifacts(file)
if action == "freeze":
    import torch._inductor.config
    torch._inductor.config.freezing = True
with own_hits() as own, torch.no_grad():
    for function in (twice, again):
        torch.compile(function)(torch.ones(7))
if action == "save":
    save_artifacts(file)
print(json.dumps({name: use.model_dump() for name, use in cache_uses(own).items()}))
"""


def lookups(caches: Path, action: str = "run", file: Path = Path("none")) -> dict[str, CacheUse]:
    """What a fresh process looks up in a cache folder; torch 2.4 has to be asked to keep graphs."""
    environment = child_environment({**cache_environment(caches), "TORCHINDUCTOR_FX_GRAPH_CACHE": "1"})
    command = [sys.executable, "-c", SCRIPT, action, str(file)]
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    return {name: CacheUse.model_validate(use) for name, use in json.loads(told.splitlines()[-1]).items()}


@pytest.mark.slow
def test_cold_misses_and_warm_hits_are_counted(tmp_path: Path) -> None:
    """A cold process hits nothing but the graph that it stored itself, a warm one compiles nothing."""
    cold, warm = lookups(tmp_path / "shared"), lookups(tmp_path / "shared")
    assert sum(use.misses for use in cold.values()) > 0
    assert sum(use.own_hits for use in cold.values()) > 0
    assert {use.foreign_hits for use in cold.values()} == {0}
    assert {use.compiled for use in warm.values()} == {0}
    assert warm["graphs"].foreign_hits == warm["graphs"].hits > 0


@pytest.mark.slow
def test_graph_that_cannot_be_cached_is_compiled_again(tmp_path: Path) -> None:
    """What torch refuses to cache counts as compiled in every start."""
    for _ in ("cold", "warm"):
        assert sum(use.compiled for use in lookups(tmp_path / "shared", "freeze").values()) > 0


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(torch.compiler, "save_cache_artifacts"), reason="torch before 2.7")
def test_artifacts_fill_an_empty_cache(tmp_path: Path) -> None:
    """A process with empty caches compiles nothing once it has taken what another saved."""
    lookups(tmp_path / "first", "save", tmp_path / "artifacts")
    loaded = lookups(tmp_path / "second", "load", tmp_path / "artifacts")
    assert {use.compiled for use in loaded.values()} == {0}
    assert loaded["graphs"].hits > 0


def test_torch_without_artifacts_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where torch cannot save artifacts, the recipe is told which torch can."""
    monkeypatch.delattr(torch.compiler, "save_cache_artifacts", raising=False)
    with pytest.raises(BackendUnavailable, match=r"torch 2\.7 or newer"):
        check_artifacts()


@pytest.mark.parametrize(("stored", "compiled"), [(None, 4), (3, 3), (9, 4)])
def test_abandoned_lookups_are_not_compiled(stored: int | None, compiled: int) -> None:
    """Where torch counts what it stores, a miss of which nothing was stored compiled nothing; bypasses always do."""
    assert CacheUse(misses=4, stored=stored).compiled == compiled
    assert CacheUse(misses=4, bypasses=2, stored=stored).compiled == compiled + 2
