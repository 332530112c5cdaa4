"""The page that bench_speed writes."""

from typing import Any

from tests.benchmarks.speed.peers import PEERS
from tests.benchmarks.speed.simulations import CV
from tests.benchmarks.speed.traces import MODES_APART, PAIRS


def table(titles: list[str], rows: list[list[str]]) -> list[str]:
    """A Markdown table, its first column text and the others numbers."""
    lines = [f"| {' | '.join(titles)} |", f"| --- |{' ---: |' * (len(titles) - 1)}"]
    return [*lines, *(f"| {' | '.join(row)} |" for row in rows), ""]


def share(value: float) -> str:
    """A rate in percent, to the hundredth."""
    return f"{value:.2%}"


def _ended(rates: dict[str, float]) -> list[str]:
    return [share(rates["alarmed"]), share(rates["undecided"])]


def _promised(row: dict[str, Any]) -> str:
    return "-" if row["promised"] is None else f"{row['promised']:.1%}"


def unchanged(rows: list[dict[str, Any]]) -> list[str]:
    """False alarms of ours and of the peers."""
    titles = ["noise", "promised", "record, margin 0", "undecided", "record, margin 0.5 %", "undecided"]
    titles += ["floor at the truth", "undecided"]
    ours = table(
        titles,
        [
            [r["machine"], _promised(r), *_ended(r["no_margin"]), *_ended(r["margin"]), *_ended(r["floor_at_truth"])]
            for r in rows
        ],
    )
    theirs = table(["noise", *PEERS], [[r["machine"], *(share(r["peers"][name]) for name in PEERS)] for r in rows])
    return [*ours, "The rules of others on the same compiled latencies:", "", *theirs]


def scatter(rows: list[dict[str, Any]]) -> list[str]:
    """False alarms at other coefficients of variation."""
    titles = ["noise", "CV", "record, margin 0", "undecided", "record, margin 0.5 %", "undecided"]
    cells = [[r["machine"], f"{r['cv']:.1%}", *_ended(r["no_margin"]), *_ended(r["margin"])] for r in rows]
    return table(titles, cells)


def power(rows: list[dict[str, Any]]) -> list[str]:
    """Caught slowdowns and the pairs they took."""
    titles = ["noise", "slower by", "margin 0: caught", "pairs, median / p99", "margin 0.5 %: caught", "passed"]
    titles += ["pairs, median / p99", *PEERS]
    cells = []
    for r in rows:
        strict, loose = r["no_margin"], r["margin"]
        cells.append(
            [
                r["machine"],
                f"{r['slowdown']:.1%}",
                share(strict["alarmed"]),
                f"{strict['median_pairs']} / {strict['most_pairs']}",
                share(loose["alarmed"]),
                share(loose["passed"]),
                f"{loose['median_pairs']} / {loose['most_pairs']}",
                *(share(r["peers"][name]) for name in PEERS),
            ]
        )
    return table(titles, cells)


def headroom(rows: list[dict[str, Any]]) -> list[str]:
    """Gates of a pipeline that is well above its floor."""
    return table(
        ["noise", "passed", "pairs, median / p99"],
        [
            [r["machine"], share(r["floor"]["passed"]), f"{r['floor']['median_pairs']} / {r['floor']['most_pairs']}"]
            for r in rows
        ],
    )


def live(found: dict[str, Any]) -> list[str]:
    """The miniature on this machine."""
    rows = [[row["run"], row["outcome"], str(row["pairs"]), row["check"]] for row in found["rows"]]
    return [
        "## Live",
        "",
        f"The miniature on the CPU, `max_slowdown` {found['max_slowdown']:g}: a record is taken, then held against.",
        "",
        *table(["run", "verdict", "pairs", "check"], rows),
        f"Watching and judging a pair takes {found['cost']:.3%} of its time, outside of what is timed.",
        "",
    ]


def render(found: dict[str, Any]) -> str:
    """The page."""
    tables, gates = found["tables"], found["gates"]
    few = tables["power"][0]["gates"]
    lines = [
        "# Speed: false alarms and power",
        "",
        f"Written by `tox run -e bench-speed` in {found['seconds']} s on {found['processes']} processes.",
        f"Seeded traces of {PAIRS} pairs in A B B A order go through the library's own judge, at its default settings",
        "(alpha 0.001), and through the rules of others, by their own code. [speed.md](../speed.md) explains the rule.",
        "",
        *(f"**Missed:** {promise}" for promise in found["missed"]),
        *([""] if found["missed"] else []),
        "## Nothing changed",
        "",
        f"{gates} gates of each noise model, CV {CV:.1%}. A false alarm is a `REGRESSION`. The accepted record is a",
        "run of the same machine; with margin 0, and with the floor at the true speedup, an unchanged pipeline lies",
        "exactly on the threshold, so that `INCONCLUSIVE` is the right answer.",
        f"Modes lie {MODES_APART:.0%} apart. Correlated pair ratios carry no promise: without a record, five pairs",
        "that share one error cannot be told from five that agree; the pairs of a record show the correlation.",
        "",
        *unchanged(tables["unchanged"]),
        f"## Other scatter, {tables['scatter'][0]['gates']} gates each",
        "",
        *scatter(tables["scatter"]),
        f"## A pipeline that became slower, {few} gates each",
        "",
        f"CV {CV:.1%}. With margin 0.5 %, a slowdown of 0.5 % lies on the threshold.",
        "",
        *power(tables["power"]),
        f"## 3 % headroom over `min_speedup`, {few} gates each",
        "",
        *headroom(tables["headroom"]),
        *(live(found["live"]) if "live" in found else []),
    ]
    return "\n".join(lines).rstrip("\n") + "\n"
