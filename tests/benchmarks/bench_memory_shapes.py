"""
What the memory and the shapes gates catch, and what they leave alone.

Writes `docs/benchmarks/memory-shapes.md` and `.json`. Run by `tox run -e bench-memory-shapes`; `--only` measures one
half anew and leaves the other as it was. Exit code 1 when a promise is missed.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from tests.benchmarks import shapes_cycle
from tests.benchmarks.memory import page as memory

from nearlossless.atomic import write_text
from nearlossless.environment import cpu_model

FOLDER = Path(__file__).parents[2] / "docs" / "benchmarks"
NAME = "memory-shapes"


class Half(Protocol):
    """One half of the page, a module."""

    def measure(self, processes: int) -> dict[str, Any]:
        """Plain data."""

    def render(self, found: dict[str, Any]) -> str:
        """Its section, from its second heading level on."""

    def missed(self, found: dict[str, Any]) -> list[str]:
        """One line for each promise that the data break."""


HALVES: dict[str, Half] = {"memory": cast("Half", memory), "shapes": cast("Half", shapes_cycle)}


def main() -> int:
    """Measure, write the page, and tell which promises are missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=HALVES, help="measure this half alone")
    parser.add_argument("--processes", type=int, default=3, help="of each change")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the page goes")
    options = parser.parse_args()
    data = options.folder / f"{NAME}.json"
    found: dict[str, Any] = json.loads(data.read_text(encoding="utf-8")) if data.is_file() else {}
    for name in [options.only] if options.only else HALVES:
        machine = {"cpu": cpu_model(), "threads": torch.get_num_threads(), "torch": torch.__version__}
        found[name] = {**machine, **HALVES[name].measure(options.processes)}
    found["missed"] = [line for name, half in HALVES.items() if name in found for line in half.missed(found[name])]
    options.folder.mkdir(parents=True, exist_ok=True)
    write_text(data, json.dumps(found, indent=1) + "\n")
    write_text(options.folder / f"{NAME}.md", render(found))
    sys.stdout.write(render(found))
    return 1 if found["missed"] else 0


def render(found: dict[str, Any]) -> str:
    """The whole page, of the halves that were measured."""
    lines = ["# What the memory and the shapes gates catch", "", f"Written by `tox run -e bench-{NAME}`.", ""]
    for name, half in HALVES.items():
        if name in found:
            machine = found[name]
            section = half.render(machine).rstrip("\n")
            told = f"Measured on {machine['cpu']}, {machine['threads']} threads, torch {machine['torch']}."
            lines += [section, "", told, ""]
    lines += ["## Missed", "", *(f"- {line}" for line in found["missed"] or ["nothing"]), ""]
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
