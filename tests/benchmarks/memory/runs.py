"""Worker processes of the miniature under planted backends, as the memory gate starts them."""

import tempfile
from pathlib import Path
from typing import Any

from tests.benchmarks.memory import planted

from nearlossless.cases.case import Case
from nearlossless.cases.files import load_case
from nearlossless.cases.recipes import Recipe
from nearlossless.processes.environment import cache_environment
from nearlossless.processes.job import Job, ProcessRun
from nearlossless.processes.parent import run_worker

ROOT = Path(__file__).parents[3]
LIMIT_S = 600.0


def case_of(leak_calls: int) -> Case:
    """The miniature's case at 64x64 in two steps, with so many calls for leaks."""
    case = load_case(ROOT / "baselines" / "miniature")
    generation = case.generation.model_copy(update={"height": 64, "width": 64, "steps": 2})
    sampling = case.sampling.model_copy(update={"leak_calls": leak_calls, "leak_budget_s": LIMIT_S})
    return case.model_copy(update={"generation": generation, "sampling": sampling})


def run(backend: str, *, leak_calls: int, max_leak_kib: float, **options: Any) -> ProcessRun:
    """One process under a backend of `planted`."""
    recipe = Recipe(backend=f"{planted.__name__}:{backend}", options=options)
    job = Job(case=case_of(leak_calls), recipe=recipe, device="cpu", max_leak_kib=max_leak_kib)
    with tempfile.TemporaryDirectory() as folder:
        return run_worker(job, environment=cache_environment(Path(folder)), time_limit_s=LIMIT_S)
