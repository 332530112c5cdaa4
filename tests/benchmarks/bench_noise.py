"""
How much a machine scatters, and what the speedup gate makes of it: live pairs of one pipeline with itself.

Prints a page and writes `noise-<case>.json`: the coefficient of variation of repeated calls, gates resampled from the
live pairs (false alarms, and power against 1 % added by arithmetic), and live gates against a pipeline that really
is kept busy for 1 % longer. Exit code 1 when an unchanged pipeline is called slower, or a slower one unchanged.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tests.benchmarks.speed.ours import against_record
from tests.benchmarks.speed.planted import slowed
from tests.benchmarks.speed.traces import Traces

from nearlossless.atomic import write_text
from nearlossless.cases.case import Case, Sampling
from nearlossless.cases.files import find_case
from nearlossless.cases.thresholds import Thresholds
from nearlossless.environment import hardware_name
from nearlossless.fields import Device
from nearlossless.pipelines.drawing import draw_batch
from nearlossless.pipelines.loading import build_baseline
from nearlossless.pipelines.requests import batches
from nearlossless.record.speed import AcceptedSpeeds
from nearlossless.speed.latencies import PairedLatencies
from nearlossless.speed.quiet import watch_of
from nearlossless.speed.slowdown import Unanswerable, judge_slowdown, slowdown_questions
from nearlossless.speed.timing import Question, measure_pairs, synchronizer
from nearlossless.torch_settings import restored_torch_settings
from nearlossless.verdicts import Outcome

ROOT = Path(__file__).parents[2]
PLANTED = 0.01
NO_MARGIN = Thresholds(max_slowdown=0.0, max_latency_slowdown=0.5)
RECORD_PAIRS, RUN_PAIRS, BLOCK = 40, 80, 5  # of a resampled gate; neighbours stay together in blocks


class Machine:
    """A pipeline in memory, and pairs of it with itself or with its slowed-down self."""

    def __init__(self, case: Case, device: Device) -> None:
        self._case, self._device = case, device
        self._pipeline = build_baseline(case, device)

    def _draw(self) -> None:
        draw_batch(self._pipeline, self._case.generation, batches(self._case.generation)[0])

    def pairs(self, sampling: Sampling, questions: Sequence[Question], *, slowed_by: float = 0.0) -> PairedLatencies:
        """Pairs until the questions are decided; the second call of a pair is kept busy for longer."""
        with slowed(self._draw, slowed_by, self._device) as other:
            return measure_pairs(
                self._draw,
                other,
                sampling=sampling,
                min_speedup=None,
                questions=questions,
                watch=watch_of(self._device),
                synchronize=synchronizer(self._device),
            )


def scatter(pairs: PairedLatencies) -> dict[str, float]:
    """Coefficients of variation, and how much neighbours resemble each other."""
    judged = pairs.judged()
    calls = np.array([judged.baseline_s, judged.compiled_s]).T.reshape(-1)
    ratios = np.log(np.array(judged.baseline_s) / np.array(judged.compiled_s))
    return {
        "pairs": len(judged.baseline_s),
        "set_aside": len(pairs.baseline_s) - len(judged.baseline_s),
        "median_s": float(np.median(calls)),
        "cv_calls": float(calls.std(ddof=1) / calls.mean()),
        "cv_ratios": float(ratios.std(ddof=1)),
        "correlation_calls": float(np.corrcoef(calls[:-1], calls[1:])[0, 1]),
        "correlation_ratios": float(np.corrcoef(ratios[:-1], ratios[1:])[0, 1]),
    }


def resampled(pairs: PairedLatencies, gates: int, length: int, seed: int) -> Traces:
    """Gates drawn from live pairs in blocks of neighbours (moving-block bootstrap, Künsch 1989)."""
    judged, rng = pairs.judged(), np.random.default_rng(seed)
    starts = rng.integers(0, len(judged.baseline_s) - BLOCK + 1, size=(gates, -(-length // BLOCK)))
    chosen = (starts[..., None] + np.arange(BLOCK)).reshape(gates, -1)[:, :length]
    baseline_s, compiled_s = np.array(judged.baseline_s)[chosen], np.array(judged.compiled_s)[chosen]
    return Traces(baseline_s=baseline_s, compiled_s=compiled_s, is_throttled=np.zeros(chosen.shape, dtype=bool))


def simulated(pairs: PairedLatencies, gates: int) -> dict[str, Any]:
    """Rates of gates resampled from the live pairs: unchanged, and with every compiled latency 1 % longer."""
    record, run = resampled(pairs, gates, RECORD_PAIRS, 1), resampled(pairs, gates, RUN_PAIRS, 2)
    kinds = {"unchanged": run, f"{PLANTED:.0%} slower": run.slower(PLANTED)}
    return {name: vars_of(against_record(record, traces, NO_MARGIN)) for name, traces in kinds.items()}


def vars_of(rates: Any) -> dict[str, float]:
    """The fields of rates."""
    return {name: getattr(rates, name) for name in rates.__dataclass_fields__}


def live(machine: Machine, pairs: PairedLatencies, repeats: int, sampling: Sampling) -> list[dict[str, Any]]:
    """Live gates against the pairs as the accepted record, in turn unchanged and slowed down."""
    accepted = AcceptedSpeeds(baseline_s=pairs.baseline_s, compiled_s=pairs.compiled_s, set_aside=pairs.set_aside)
    rows = []
    for number in range(2 * repeats):
        share = PLANTED * (number % 2)
        questions = slowdown_questions(accepted, NO_MARGIN, sampling)
        taken = machine.pairs(sampling, questions, slowed_by=share)
        check = judge_slowdown(taken, accepted, NO_MARGIN, sampling)[0]
        rows.append({"slower": share, "outcome": check.outcome, "pairs": len(taken.baseline_s), "check": str(check)})
        sys.stderr.write(f"{share:.0%} slower: {check.outcome} {check}\n")
    return rows


def render(found: dict[str, Any]) -> str:
    """The page's tables."""
    seen, rows = found["scatter"], found["simulated"]
    lines = [
        f"{found['case']} on {found['hardware']}: {seen['pairs']} pairs of a call of {found['steps']} steps with",
        f"itself, {seen['median_s']:.3f} s each, {seen['set_aside']} set aside.",
        "",
        "| | |",
        "| --- | ---: |",
        f"| coefficient of variation, calls | {seen['cv_calls']:.2%} |",
        f"| standard deviation of a pair's log-ratio | {seen['cv_ratios']:.2%} |",
        f"| correlation of successive calls | {seen['correlation_calls']:.2f} |",
        f"| correlation of successive pairs | {seen['correlation_ratios']:.2f} |",
        "",
        f"| {found['gates']} resampled gates | PASS | REGRESSION | INCONCLUSIVE | median pairs |",
        "| --- | ---: | ---: | ---: | ---: |",
        *(
            f"| {name} | {r['passed']:.2%} | {r['alarmed']:.2%} | {r['undecided']:.2%} | {r['median_pairs']} |"
            for name, r in rows.items()
        ),
        "",
        "| live gate | outcome | pairs |",
        "| --- | --- | ---: |",
        *(f"| {row['slower']:.0%} slower | {row['outcome']} | {row['pairs']} |" for row in found["live"]),
        "",
    ]
    return "\n".join(lines)


def write(found: dict[str, Any], folder: Path) -> None:
    """Write the figures so far."""
    write_text(folder / f"noise-{found['case']}.json", json.dumps(found, indent=1) + "\n")


def is_wrong(row: dict[str, Any]) -> bool:
    """A false alarm, or a slowdown that was passed."""
    return bool(row["outcome"] == (Outcome.PASS if row["slower"] else Outcome.REGRESSION))


def options_of() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", default="miniature")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--steps", type=int, default=4, help="denoising steps a call")
    parser.add_argument("--pairs", type=int, default=100, help="of the pipeline with itself")
    parser.add_argument("--live", type=int, default=3, help="live gates unchanged, and as many slowed down")
    parser.add_argument("--live-pairs", type=int, default=16, help="of a live gate, at most")
    parser.add_argument("--gates", type=int, default=10_000, help="resampled gates")
    parser.add_argument("--folder", type=Path, default=ROOT / "docs" / "benchmarks", help="where the figures go")
    return parser.parse_args()


def main() -> int:
    """Measure, resample, judge live."""
    options = options_of()
    case = find_case(ROOT / "baselines", options.case)
    case = case.model_copy(update={"generation": case.generation.model_copy(update={"steps": options.steps})})
    with restored_torch_settings():
        machine = Machine(case, options.device)
        record = Sampling(min_pairs=options.pairs, max_pairs=options.pairs, budget_s=3600.0)
        pairs = machine.pairs(record, [Unanswerable()])
        found = {
            "case": case.name,
            "hardware": hardware_name(options.device),
            "steps": options.steps,
            "scatter": scatter(pairs),
            "gates": options.gates,
            "simulated": simulated(pairs, options.gates),
            "live": [],
            "baseline_s": pairs.baseline_s,
            "compiled_s": pairs.compiled_s,
        }
        write(found, options.folder)  # should the live gates be cut short
        rows = live(machine, pairs, options.live, Sampling(max_pairs=options.live_pairs, budget_s=120.0))
    found["live"] = rows
    write(found, options.folder)
    sys.stdout.write(render(found))
    return 1 if any(map(is_wrong, rows)) else 0


if __name__ == "__main__":
    raise SystemExit(main())
