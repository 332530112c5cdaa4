"""What runs in a worker process of a cluster: the pipelines of a job, built once, drawing prompt by prompt."""

import logging
import os
import signal
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from nearlossless.cases.case import Case
from nearlossless.cases.recipes import Recipe
from nearlossless.environment import Fingerprint
from nearlossless.evaluation.engines import fixed_threads
from nearlossless.evaluation.pairs import DeviceLost, PairDrawer, build_drawer
from nearlossless.evaluation.prompts import Prompt
from nearlossless.evaluation.results import Drawn, Rank
from nearlossless.fields import Device
from nearlossless.progress import Progress
from nearlossless.runs.selection import Subject


class WorkerJob(BaseModel):
    """What a worker draws, as it travels. Folders are the same on every node."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    case: Case
    case_folder: Path
    recipe_name: str
    recipe: Recipe
    device: Device
    features: str | None
    threads: int

    def subject(self) -> Subject:
        """What it is about."""
        return Subject(
            case=self.case,
            case_folder=self.case_folder,
            recipe_name=self.recipe_name,
            recipe=self.recipe,
            device=self.device,
            is_named=True,
        )


class Worker:
    """Built in `ready`, not when it is made: what building raises then reaches the caller as it is."""

    def __init__(self, job: str) -> None:
        """Take a `WorkerJob` as JSON."""
        self._job = WorkerJob.model_validate_json(job)
        self._drawer: PairDrawer | None = None

    def ready(self) -> Fingerprint:
        """Build the pipelines and say on what they draw."""
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # Ray's own raises SystemExit, as if the recipe had called exit
        if self._drawer is None:
            progress = Progress(logging.getLogger(__name__).info)
            with fixed_threads(self._job.threads):
                self._drawer = build_drawer(self._job.subject(), self._job.features, progress)
        return self._drawer.fingerprint

    def draw(self, prompt: Prompt, cut: Rank | None) -> Drawn:
        """One prompt, after `ready`."""
        assert self._drawer is not None
        try:
            with fixed_threads(self._job.threads):
                return self._drawer.draw(prompt, cut)
        except DeviceLost:
            os._exit(1)  # Ray starts another process, to which the device is as new
