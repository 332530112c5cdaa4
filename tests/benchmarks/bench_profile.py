"""
Where a call's device time and a cold compilation go, for a case's baseline and its recipes.

Prints a page and writes `profile-<case>.json`: milliseconds a denoising step by kind of kernel, the first call's
seconds with what Dynamo and Inductor report of them. Start it with empty caches to see a cold compilation.
"""

import argparse
import json
import re
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch._dynamo.utils import compilation_time_metrics
from torch.profiler import ProfilerActivity, profile

from nearlossless.atomic import write_text
from nearlossless.environment import hardware_name
from nearlossless.fields import Device
from nearlossless.pipelines.compiling import build_compiled
from nearlossless.pipelines.drawing import draw_batch
from nearlossless.pipelines.loading import build_baseline
from nearlossless.pipelines.requests import short_batch
from nearlossless.runs.selection import Subject, select_subjects
from nearlossless.speed.timing import synchronizer
from nearlossless.torch_settings import restored_torch_settings

ROOT = Path(__file__).parents[2]
# By the names that cuDNN, cuBLAS, CUTLASS, Triton, oneDNN and ATen give their kernels; the first that fits counts.
# Inductor's come first: their names list every operator that was fused, copies and products among them.
KINDS = {
    "fused by Inductor": r"^triton_|^cpp_fused",
    "attention": r"sdpa|flash|fmha|attention|cudnn_generated_fort",
    "convolution": r"conv|fprop|wgrad|dgrad",
    "matrix product": r"gemm|nvjet|matmul|cutlass|_mm|addmm|linear|splitk",
    "copy": r"memcpy|memset|copy_|aten::cat",
}
LONGEST = 40  # kernels that the figures keep
LONGEST_NAME = 120  # of a kernel, as the figures keep it


def kind_of(kernel: str) -> str:
    """What a kernel does, by its name; what is left is pointwise work, norms and reductions."""
    name = kernel.lower()
    return next((kind for kind, pattern in KINDS.items() if re.search(pattern, name)), "pointwise, norms")


def kernels_ms(call: Callable[[], object], device: Device) -> dict[str, float]:
    """Milliseconds of one call by kernel on a GPU, by operator on a CPU."""
    # Operators of the host beside a GPU's kernels would take minutes to read back, and are not asked for.
    activity = ProfilerActivity.CUDA if device == "cuda" else ProfilerActivity.CPU
    with profile(activities=[activity]) as profiler:
        call()
        synchronizer(device)()
    found: dict[str, float] = defaultdict(float)
    for event in profiler.events() or ():
        # Annotations of diffusers and Inductor span kernels that are counted themselves, and calls of the driver wait.
        if event.is_user_annotation or event.device_type.name != device.upper():
            continue
        own_us = event.time_range.elapsed_us() if device == "cuda" else event.self_cpu_time_total
        found[event.name[:LONGEST_NAME]] += own_us / 1000
    return dict(found)


def per_step(draw: Callable[[int], object], steps: tuple[int, int], device: Device) -> dict[str, Any]:
    """Wall-clock and device milliseconds of a denoising step: the difference of two calls of unlike length."""
    few, many = steps
    draw(few)
    taken, kernels = [], []
    for count in steps:
        seconds = []
        for _ in range(3):
            start = time.perf_counter()
            draw(count)
            synchronizer(device)()
            seconds.append(time.perf_counter() - start)
        taken.append(min(seconds))
        kernels.append(kernels_ms(partial(draw, count), device))
    names = sorted(set(kernels[0]) | set(kernels[1]))
    by_kernel = {name: (kernels[1].get(name, 0.0) - kernels[0].get(name, 0.0)) / (many - few) for name in names}
    by_kind: dict[str, float] = defaultdict(float)
    for name, taken_ms in by_kernel.items():
        by_kind[kind_of(name)] += taken_ms
    longest = dict(sorted(by_kernel.items(), key=lambda pair: -pair[1])[:LONGEST])
    return {"wall_ms": 1000 * (taken[1] - taken[0]) / (many - few), "kinds_ms": by_kind, "kernels_ms": longest}


def compile_s() -> dict[str, float]:
    """Seconds that torch reports for the parts of all compilations so far; nested parts count in their outer one."""
    return {name: round(sum(taken), 3) for name, taken in compilation_time_metrics.items() if sum(taken) >= 0.05}


def measure(
    subject: Subject | None, baseline: Any, case: Any, device: Device, steps: tuple[int, int]
) -> dict[str, Any]:
    """The first call of a pipeline and a step of it; the baseline's where there is no subject."""
    pipeline = baseline if subject is None else build_compiled(baseline, subject.recipe)

    def draw(count: int) -> None:
        generation = case.generation.model_copy(update={"steps": count})
        draw_batch(pipeline, generation, [replace(request, steps=count) for request in short_batch(generation)])

    compilation_time_metrics.clear()
    start = time.perf_counter()
    draw(steps[0])
    synchronizer(device)()
    first_s = time.perf_counter() - start
    return {"first_call_s": first_s, "compile_s": compile_s(), **per_step(draw, steps, device)}


def render(found: dict[str, Any]) -> str:
    """The tables: a step by kind of kernel, and the first call."""
    columns = found["pipelines"]
    names = sorted({kind for each in columns.values() for kind in each["kinds_ms"]})
    head = [f"| | {' | '.join(columns)} |", f"| --- |{' ---: |' * len(columns)}"]

    def row(name: str, values: list[float], digits: int = 1) -> str:
        return f"| {name} | {' | '.join(f'{value:.{digits}f}' for value in values)} |"

    return "\n".join(
        [
            f"{found['case']} on {found['hardware']}, torch {torch.__version__}: milliseconds of a denoising step",
            "",
            *head,
            *(row(name, [each["kinds_ms"].get(name, 0.0) for each in columns.values()]) for name in names),
            row("all kernels", [sum(each["kinds_ms"].values()) for each in columns.values()]),
            row("by the clock", [each["wall_ms"] for each in columns.values()]),
            row("first call, s", [each["first_call_s"] for each in columns.values()]),
            "",
        ]
    )


def main() -> int:
    """Measure the baseline and each recipe in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", default="miniature")
    parser.add_argument("--recipe", action="append", default=[])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--steps", type=int, nargs=2, default=(2, 8), metavar=("FEW", "MANY"))
    parser.add_argument("--folder", type=Path, default=ROOT / "docs" / "benchmarks", help="where the figures go")
    options = parser.parse_args()
    chosen = select_subjects(ROOT / "baselines", cases=[options.case], recipes=options.recipe)
    subjects = [subject for subject in chosen if subject.device == options.device]
    case, steps = subjects[0].case, tuple(options.steps)
    baseline = build_baseline(case, options.device)
    pipelines = {"baseline": measure(None, baseline, case, options.device, steps)}
    for subject in subjects:
        with restored_torch_settings():
            pipelines[subject.recipe_name] = measure(subject, baseline, case, options.device, steps)
        found = {"case": case.name, "hardware": hardware_name(options.device), "pipelines": pipelines}
        write_text(options.folder / f"profile-{case.name}.json", json.dumps(found, indent=1) + "\n")
    sys.stdout.write(render(found))
    for name, each in pipelines.items():
        sys.stdout.write(f"{name}: {each['compile_s']}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
