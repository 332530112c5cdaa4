"""Of the start-up gate: seconds, and what the caches counted."""

import math

import pytest
from tests.unit.gates.records import MakeRun

from nearlossless.cases.thresholds import Thresholds
from nearlossless.gates import judge_startup
from nearlossless.processes.caches import CacheUse
from nearlossless.verdicts import Outcome


@pytest.mark.parametrize(("first_call_s", "outcome"), [(9.0, Outcome.PASS), (9.001, Outcome.REGRESSION)])
def test_cold_start_counts_load_and_first_call(process_run: MakeRun, first_call_s: float, outcome: Outcome) -> None:
    """The cold start is load and first call together, and turns at its ceiling."""
    cold, warm = process_run(load_s=1.0, first_call_s=first_call_s), process_run(first_call_s=1.0)
    verdict = judge_startup(cold, warm, Thresholds(max_cold_start_s=10.0, max_warm_start_ratio=0.9))
    assert verdict.outcome is outcome


@pytest.mark.parametrize(("warm_s", "outcome"), [(5.0, Outcome.PASS), (5.001, Outcome.REGRESSION)])
def test_warm_start_turns_at_its_share(process_run: MakeRun, warm_s: float, outcome: Outcome) -> None:
    """A warm first call may take the given share of a cold one."""
    cold, warm = process_run(first_call_s=10.0), process_run(first_call_s=warm_s)
    verdict = judge_startup(cold, warm, Thresholds(max_cold_start_s=100.0, max_warm_start_ratio=0.5))
    assert verdict.outcome is outcome


@pytest.mark.parametrize("seconds", [0.0, math.nan, math.inf])
def test_impossible_cold_call_is_never_green(process_run: MakeRun, seconds: float) -> None:
    """A first call of no time, or of no finite time, leaves the start-up gate without a green verdict."""
    verdict = judge_startup(
        process_run(first_call_s=seconds),
        process_run(),
        Thresholds(max_cold_start_s=100.0, max_warm_start_ratio=0.9),
    )
    assert verdict.outcome is Outcome.NOT_COMPARABLE


START = Thresholds(max_cold_start_s=100.0, max_warm_start_ratio=2.0, max_artifact_start_ratio=0.8)
COLD = {"graphs": CacheUse(misses=3, hits=1, own_hits=1), "autograd": CacheUse(misses=4, stored=3)}
WARM = {"graphs": CacheUse(hits=4), "autograd": CacheUse(hits=3, misses=1, stored=0)}


def test_warm_start_that_compiles_nothing_passes(process_run: MakeRun) -> None:
    """A graph that a cold start stored and found again, and a lookup that Dynamo abandons, are in order."""
    assert judge_startup(process_run(caches=COLD), process_run(caches=WARM), START).is_pass


@pytest.mark.parametrize(
    "use",
    [
        {"graphs": CacheUse(hits=3, misses=1)},
        {"graphs": CacheUse(hits=3, bypasses=1)},
        {"graphs": CacheUse(hits=3), "autograd": CacheUse(hits=2, misses=2, stored=1)},
    ],
    ids=["miss", "bypass", "autograd"],
)
@pytest.mark.parametrize(("allowed", "outcome"), [(0, Outcome.REGRESSION), (1, Outcome.PASS)])
def test_warm_start_turns_at_its_misses(
    process_run: MakeRun, use: dict[str, CacheUse], allowed: int, outcome: Outcome
) -> None:
    """One graph that is compiled in a warm start is one too many unless the case allows one; the reason has all."""
    thresholds = START.model_copy(update={"max_warm_cache_misses": allowed})
    verdict = judge_startup(process_run(caches=COLD), process_run(caches=use), thresholds)
    assert verdict.outcome is outcome
    assert f"graphs: {use['graphs']}" in verdict.reason


def test_cold_start_that_finds_what_it_did_not_store_is_not_comparable(process_run: MakeRun) -> None:
    """A cold start with a hit of another process's entry was not cold."""
    cold = process_run(caches={"graphs": CacheUse(hits=2, misses=3, own_hits=1)})
    verdict = judge_startup(cold, process_run(caches=WARM), START)
    assert verdict.outcome is Outcome.NOT_COMPARABLE
    assert "graphs: 1 hits" in verdict.reason


def test_uncounted_caches_are_not_judged_and_told(process_run: MakeRun) -> None:
    """A backend that torch counts no lookup of passes by its seconds, and the reason says that no miss was judged."""
    verdict = judge_startup(process_run(), process_run(), START)
    assert verdict.is_pass
    assert "not applicable, torch counted no use of a graph cache" in verdict.reason


def test_warm_start_that_looks_nothing_up_is_not_comparable(process_run: MakeRun) -> None:
    """No lookup is no proof that nothing was compiled, where the cold start looked graphs up."""
    assert judge_startup(process_run(caches=COLD), process_run(), START).outcome is Outcome.NOT_COMPARABLE


@pytest.mark.parametrize(("first_call_s", "outcome"), [(1.6, Outcome.PASS), (1.601, Outcome.REGRESSION)])
def test_artifact_start_turns_at_its_share(process_run: MakeRun, first_call_s: float, outcome: Outcome) -> None:
    """A first call from artifacts may take its own share of a cold one."""
    artifact = process_run(first_call_s=first_call_s, caches=WARM)
    verdict = judge_startup(process_run(caches=COLD), process_run(caches=WARM), START, artifact=artifact)
    assert verdict.outcome is outcome


def test_artifact_start_that_compiles_is_a_regression(process_run: MakeRun) -> None:
    """Artifacts that miss a graph are no better than a warm cache that does."""
    artifact = process_run(first_call_s=1.0, caches={"graphs": CacheUse(hits=2, misses=1)})
    verdict = judge_startup(process_run(caches=COLD), process_run(caches=WARM), START, artifact=artifact)
    assert verdict.outcome is Outcome.REGRESSION
    assert "cache misses of artifact start" in verdict.reason
