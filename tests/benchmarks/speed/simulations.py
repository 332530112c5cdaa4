"""The simulated tables: false alarms of every noise model, and power against slowdowns, each as plain rows."""

import math
import zlib
from typing import Any

import numpy as np
from tests.benchmarks.speed.ours import Rates, against_floor, against_record
from tests.benchmarks.speed.peers import PEERS
from tests.benchmarks.speed.traces import MACHINES, SPEEDUP, Machine, Traces

from nearlossless.cases.thresholds import Thresholds

CV = 0.003
OTHER_CVS = (0.001, 0.01, 0.05)
NO_MARGIN, MARGIN = Thresholds(max_slowdown=0.0), Thresholds(max_slowdown=0.005)
SLOWDOWNS = (0.0, 0.005, 0.01, 0.02, 0.05)
HEADROOM = 1.03
POWER_NAMES = ("independent", "Student t", "lognormal", "one 3x", "5 % drift", "bimodal, stays")
POWER_MACHINES = tuple(machine for machine in MACHINES if machine.name.startswith(POWER_NAMES))


def drawn(machine: Machine, cv: float, gates: int) -> tuple[Traces, Traces]:
    """The record and the run of every gate; each machine and scatter has a seed of its own."""
    rng = np.random.default_rng(zlib.crc32(f"{machine.name} {cv}".encode()))
    return machine.run(rng, gates, cv), machine.run(rng, gates, cv, is_later=True)


def unchanged(machine: Machine, cv: float, gates: int, *, with_peers: bool) -> dict[str, Any]:
    """What gates say when nothing changed."""
    record, run = drawn(machine, cv, gates)
    return {
        "machine": machine.name,
        "cv": cv,
        "gates": gates,
        "promised": machine.promised if cv < max(OTHER_CVS) else None,
        "no_margin": _plain(against_record(record, run, NO_MARGIN)),
        "margin": _plain(against_record(record, run, MARGIN)),
        "floor_at_truth": _plain(against_floor(run, SPEEDUP)),
        "peers": {name: float(rule(record, run).mean()) for name, rule in PEERS.items()} if with_peers else {},
    }


def power(machine: Machine, slowdown: float, gates: int) -> dict[str, Any]:
    """What gates say of a pipeline that became slower."""
    record, run = drawn(machine, CV, gates)
    slower = run.slower(slowdown)
    return {
        "machine": machine.name,
        "slowdown": slowdown,
        "gates": gates,
        "no_margin": _plain(against_record(record, slower, NO_MARGIN)),
        "margin": _plain(against_record(record, slower, MARGIN)),
        "peers": {name: float(rule(record, slower).mean()) for name, rule in PEERS.items()},
    }


def headroom(machine: Machine, gates: int) -> dict[str, Any]:
    """What gates say of a pipeline that is 3 % faster than its floor."""
    _, run = drawn(machine, CV, gates)
    return {"machine": machine.name, "gates": gates, "floor": _plain(against_floor(run, SPEEDUP / HEADROOM))}


def _plain(rates: Rates) -> dict[str, float]:
    return {
        "passed": rates.passed,
        "alarmed": rates.alarmed,
        "undecided": rates.undecided,
        "median_pairs": rates.median_pairs,
        "most_pairs": rates.most_pairs,
    }


def tasks(gates: int) -> list[tuple[str, Any, tuple[Any, ...], dict[str, Any]]]:
    """Everything to simulate: its table, function and arguments; the longest first."""
    few = math.ceil(gates / 10)
    return [
        *[("unchanged", unchanged, (machine, CV, gates), {"with_peers": True}) for machine in MACHINES],
        *[("scatter", unchanged, (m, cv, few), {"with_peers": False}) for cv in OTHER_CVS for m in MACHINES],
        *[("power", power, (machine, slowdown, few), {}) for machine in POWER_MACHINES for slowdown in SLOWDOWNS],
        *[("headroom", headroom, (machine, few), {}) for machine in POWER_MACHINES],
    ]


def missed(tables: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Every promise that does not hold."""
    wrong = [
        f"{row['machine']}: {row[gate]['alarmed']:.2%} false alarms ({gate}), promised {row['promised']:.1%}"
        for row in tables["unchanged"]
        if row["promised"] is not None
        for gate in ("no_margin", "margin", "floor_at_truth")
        if row[gate]["alarmed"] > row["promised"]
    ]
    one = next(r for r in tables["power"] if (r["machine"], r["slowdown"]) == ("independent", 0.01))["no_margin"]
    if one["alarmed"] < 0.99 or one["median_pairs"] > 12:
        wrong.append(f"a 1 % slowdown: caught in {one['alarmed']:.1%} at a median of {one['median_pairs']} pairs")
    same = next(row for row in tables["unchanged"] if row["machine"] == "independent")["margin"]
    if same["passed"] < 0.95:
        wrong.append(f"unchanged with a margin of 0.5 %: passed in {same['passed']:.1%}")
    ahead = next(row for row in tables["headroom"] if row["machine"] == "independent")["floor"]
    if ahead["passed"] < 0.99 or ahead["median_pairs"] > 8:
        wrong.append(f"3 % headroom: passed in {ahead['passed']:.1%} at a median of {ahead['median_pairs']} pairs")
    return wrong
