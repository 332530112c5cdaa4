"""
How often the history's change points err, and how fast a store of 10,000 records is read.

Seeded simulated series of nightly values: alarms where nothing changed, and how often a planted step or drift is found
and dated. Writes `docs/benchmarks/history.md` and `.json`; run by `tox run -e bench-history`.
"""

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearlossless.atomic import write_text
from nearlossless.environment import cpu_model
from nearlossless.history.changes import Change, find_changes
from nearlossless.history.store import newest
from nearlossless.record import Record

FOLDER = Path(__file__).parents[2] / "docs" / "benchmarks"
CV, RECORDS, LOADED = 0.003, 10_000, 60
Values = NDArray[np.float64]
Noise = Callable[[np.random.Generator, int], Values]


def autocorrelated(rho: float) -> Noise:
    """Noise of variance 1 whose neighbouring nights correlate."""

    def noise(random: np.random.Generator, count: int) -> Values:
        values = random.normal(size=count)
        for i in range(1, count):
            values[i] = rho * values[i - 1] + np.sqrt(1 - rho**2) * values[i]
        return values

    return noise


def bimodal(random: np.random.Generator, count: int) -> Values:
    """A machine that is three standard deviations slower in three of ten nights."""
    return random.normal(size=count) + np.where(random.random(count) < 0.3, 3.0, 0.0)


def spiking(random: np.random.Generator, count: int) -> Values:
    """One night in twenty is interrupted, by up to a fifth."""
    return random.normal(size=count) + np.where(random.random(count) < 0.05, random.uniform(5, 60, count), 0.0)


NOISES: dict[str, Noise] = {
    "normal": lambda random, count: random.normal(size=count),
    "Student's t, 3 degrees of freedom": lambda random, count: random.standard_t(3, count) / np.sqrt(3),
    "autocorrelation 0.3": autocorrelated(0.3),
    "autocorrelation 0.5": autocorrelated(0.5),
    "bimodal": bimodal,
    "spikes": spiking,
}


def found(levels: Values, noise: Values) -> list[Change]:
    """What is found in positive values around these levels."""
    return find_changes((levels * np.exp(CV * noise)).tolist(), resolution=1e-4, is_relative=True)


def alarms(random: np.random.Generator, noise: Noise, nights: int, series: int) -> float:
    """Share of unchanged series with any finding."""
    return sum(bool(found(np.ones(nights), noise(random, nights))) for _ in range(series)) / series


def dated_steps(random: np.random.Generator, noise: Noise, size: float, series: int) -> float:
    """Share of series of 60 nights with one step, anywhere from night 10 to 50, found alone and within two nights."""
    hits = 0
    for _ in range(series):
        at = int(random.integers(10, 51))
        changes = found(np.where(np.arange(60) < at, 1, 1 + size), noise(random, 60))
        hits += len(changes) == 1 and not changes[0].is_drift and abs(changes[0].first - at) <= 2
    return hits / series


def drifts(random: np.random.Generator, rate: float, nights: int, series: int) -> tuple[float, float]:
    """Shares of series of 60 nights with any finding, and with one drift whose ends are dated within three nights."""
    seen = dated = 0
    for _ in range(series):
        start = int(random.integers(0, 60 - nights))
        changes = found((1 + rate) ** np.clip(np.arange(60.0) - start, 0, nights), random.normal(size=60))
        seen += bool(changes)
        if len(changes) == 1 and changes[0].is_drift:
            dated += abs(changes[0].last - start) <= 3 and abs(changes[0].first - start - nights) <= 3
    return seen / series, dated / series


def load_s(repetitions: int) -> float:
    """Median seconds to load the newest records of a large store, each a record without subjects."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(RECORDS):
            started = f"2026-01-{1 + number % 28:02}T03:00:00+00:00"
            record = Record(schema_version=1, nearlossless_version="0", started=started, command="pytest")
            path = folder / f"202601{1 + number % 28:02}T030000Z-{number:032x}.json"
            path.write_text(record.model_dump_json(), encoding="utf-8")
        seconds = []
        for _ in range(repetitions):
            start = perf_counter()
            loaded = newest(folder, LOADED)
            seconds.append(perf_counter() - start)
            assert len(loaded.entries) == LOADED
    return median(seconds)


def measure(series: int) -> dict[str, Any]:
    """All figures."""
    random = np.random.default_rng(20260101)
    return {
        "series": series,
        "cpu": cpu_model(),
        "alarms": {
            name: {nights: alarms(random, noise, nights, series) for nights in (20, 60, 200)}
            for name, noise in NOISES.items()
        },
        "steps": {
            name: {size: dated_steps(random, noise, size, series) for size in (0.005, 0.01, 0.02)}
            for name, noise in NOISES.items()
        },
        "drifts": {
            f"{rate:.2%} a night for {nights} nights": drifts(random, rate, nights, series)
            for rate, nights in ((0.003, 20), (0.001, 40), (0.0005, 40))
        },
        "load_s": load_s(9),
    }


def page(figures: dict[str, Any]) -> str:
    """The figures as tables."""
    load = f"Loading the newest {LOADED} of {RECORDS:,} small records took {figures['load_s']:.3f} s"
    return "\n".join(
        [
            "# Change points in a history",
            "",
            "Written by `tox run -e bench-history`: simulated series of nightly values whose noise has a standard",
            f"deviation of 0.3 % (bimodal and spikes: and what they add to it), {figures['series']} series a cell.",
            "",
            "Series in which nothing changed, and something was found:",
            "",
            "| noise | 20 nights | 60 nights | 200 nights |",
            "| --- | ---: | ---: | ---: |",
            *(_row(name, rates.values()) for name, rates in figures["alarms"].items()),
            "",
            "Series of 60 nights with one step, found as the only change and dated within two nights:",
            "",
            "| noise | 0.5 % | 1 % | 2 % |",
            "| --- | ---: | ---: | ---: |",
            *(_row(name, rates.values()) for name, rates in figures["steps"].items()),
            "",
            "Series of 60 nights with a drift and normal noise:",
            "",
            "| drift | anything found | one drift, both ends dated within three nights |",
            "| --- | ---: | ---: |",
            *(_row(name, rates) for name, rates in figures["drifts"].items()),
            "",
            f"{load} ({figures['cpu']}).",
            "",
        ]
    )


def _row(name: str, rates: Any) -> str:
    return f"| {name} | " + " | ".join(f"{rate:.1%}" for rate in rates) + " |"


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, default=1000)
    figures = measure(parser.parse_args().series)
    write_text(FOLDER / "history.json", json.dumps(figures, indent=1) + "\n")
    write_text(FOLDER / "history.md", page(figures))
    print(page(figures))


if __name__ == "__main__":
    main()
