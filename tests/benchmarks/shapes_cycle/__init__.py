"""Planted recompilations and benign changes before the shapes gate's counters: caught and named, or not flagged."""

import platform
from collections.abc import Callable
from typing import Any

import torch
from tests.benchmarks.shapes_cycle.planted import BENIGN, PLANTED, Calls, Planted

from nearlossless.record.shapes import Recompile
from nearlossless.shapes.counting import counted_compiles
from nearlossless.shapes.recompiles import is_refusal, refusing_compiles, told_compiles


def watched(build: Callable[[], Calls]) -> tuple[int, list[Recompile]]:
    """How many compilations the second call made, and what torch told of them."""
    torch.compiler.reset()
    first, second = build()
    first()
    with told_compiles() as told, counted_compiles() as compiles:
        second()
    torch.compiler.reset()
    return compiles.total, told


def is_refused(build: Callable[[], Calls]) -> bool:
    """Whether torch itself refused to compile for the second call."""
    torch.compiler.reset()
    first, second = build()
    first()
    try:
        with refusing_compiles():
            second()
    except Exception as error:
        return is_refusal(f"{type(error).__name__}: {error}")
    finally:
        torch.compiler.reset()
    return False


def is_named(case: Planted, told: list[Recompile]) -> bool:
    """Whether the function and its guard stand in what was told."""
    return any(each.function == case.function and case.word in each.guard for each in told)


def measure(processes: int = 1) -> dict[str, Any]:
    """Every planted and every benign change, so many times: plain data, of each the round that speaks against us."""
    planted = []
    for case in PLANTED:
        rounds = [watched(case.build) for _ in range(processes)]
        count, told = min(rounds, key=lambda found: (found[0] > 0, is_named(case, found[1])))
        planted.append(
            {
                "name": case.name,
                "compiles": count,
                "is_named": is_named(case, told),
                "is_refused": is_refused(case.build),
                "told": [f"{each.function}: {each.guard}" for each in told],
            }
        )
    benign = [
        {"name": name, "compiles": max(watched(build)[0] for _ in range(processes))} for name, build in BENIGN.items()
    ]
    return {"torch": torch.__version__, "python": platform.python_version(), "planted": planted, "benign": benign}


def missed(data: dict[str, Any]) -> list[str]:
    """What was not caught, not named, or flagged although it is benign."""
    lines = [f"not caught: {each['name']}" for each in data["planted"] if not each["compiles"]]
    lines += [f"not named: {each['name']}" for each in data["planted"] if not each["is_named"]]
    return lines + [f"flagged: {each['name']}" for each in data["benign"] if each["compiles"]]


def render(data: dict[str, Any]) -> str:
    """The Markdown section of `measure`'s data."""
    planted, benign = data["planted"], data["benign"]
    caught, named = sum(each["compiles"] > 0 for each in planted), sum(each["is_named"] for each in planted)
    flagged = sum(each["compiles"] > 0 for each in benign)
    summary = (
        f"torch {data['torch']}: {caught} of {len(planted)} planted recompilations were caught, {named} named with"
        f" function and guard; {flagged} of {len(benign)} benign changes were flagged. *Refused*: torch's own guard,"
        " `fail_on_recompile` or, before torch 2.6, `error_on_recompile`, stopped it too."
    )
    heads = ["| planted | compiles | named | refused | told |", "| --- | ---: | --- | --- | --- |"]
    lines = ["## Recompilations", "", summary, "", *heads]
    lines += [
        f"| {each['name']} | {each['compiles']} | {_word(each['is_named'])} | {_word(each['is_refused'])} |"
        f" `{_cell(each['told'])}` |"
        for each in planted
    ]
    lines += ["", "| benign | compiles |", "| --- | ---: |"]
    lines += [f"| {each['name']} | {each['compiles']} |" for each in benign]
    return "\n".join([*lines, ""])


def _word(is_so: bool) -> str:
    return "yes" if is_so else "no"


def _cell(told: list[str]) -> str:
    return "; ".join(told).partition(" # ")[0].replace("|", "\\|").replace("`", "'")
