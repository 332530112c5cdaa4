"""
Both pipelines of a subject, timed in pairs in a process of its own: `python -m nearlossless.speed.pairing`.

Reads one `PairingJob` as a line of JSON from standard input and answers with `Samples`, in events as those of
`processes/worker.py`.
"""

from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from nearlossless.cases.case import Case
from nearlossless.cases.recipes import Recipe
from nearlossless.fields import Device
from nearlossless.processes.streams import answer
from nearlossless.record.speed import Samples
from nearlossless.runs.selection import Subject


class PairingJob(BaseModel):
    """A subject, as it travels to another process."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    case: Case
    case_folder: Path
    recipe_name: str
    recipe: Recipe
    device: Device
    is_named: bool
    baseline_does_not_fit: str | None = None  # what was measured in this run
    waiting: tuple[int, ...] = ()  # processes that hold a context on the GPU and wait for the answer

    @property
    def subject(self) -> Subject:
        """The subject itself."""
        found = Subject(
            case=self.case,
            case_folder=self.case_folder,
            recipe_name=self.recipe_name,
            recipe=self.recipe,
            device=self.device,
            is_named=self.is_named,
        )
        if self.baseline_does_not_fit is not None:
            found.baseline_ran_out_of_memory(self.baseline_does_not_fit)
        return found


def run(job: PairingJob, tell: Callable[[str], None]) -> Samples:
    """Build both pipelines and time pairs until what is asked of the subject is decided in this process."""
    tell("load")
    from nearlossless.measuring.building import compile_alone, compile_beside
    from nearlossless.measuring.speed import accepted_of, measure_latencies
    from nearlossless.pipelines.loading import build_baseline, fingerprint_of
    from nearlossless.progress import Progress

    subject, progress = job.subject, Progress(tell)
    baseline = None
    if subject.baseline_does_not_fit is None:
        baseline = build_baseline(subject.case, subject.device)
        compiled, _ = compile_beside(baseline, subject, progress)
    else:
        compiled, _ = compile_alone(subject, progress)
    found = fingerprint_of(compiled, subject.case, subject.device).with_variables(subject.recipe.environment)
    accepted = accepted_of(subject, found)
    return measure_latencies(baseline, compiled, subject, progress, accepted, waiting=job.waiting)


if __name__ == "__main__":
    answer(lambda line, tell: run(PairingJob.model_validate_json(line), tell))
