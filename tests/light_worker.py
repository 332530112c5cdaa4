"""A worker of a Ray cluster that draws nothing: what is tested with it is who draws what, and what survives."""

import os
from pathlib import Path

from nearlossless.environment import Fingerprint, PictureIdentity, TimingIdentity
from nearlossless.evaluation.prompts import Prompt
from nearlossless.evaluation.results import Drawn, PromptResult, Rank

DEADLY, DEADLY_ONCE, DEADLY_AT_START = 5, 9, "NEARLOSSLESS_TEST_DEADLY_AT_START"


class LightWorker:
    """Takes a folder for its marks in place of a job."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)

    def ready(self) -> Fingerprint:
        """Hand-made; or the end of the process, if a file says so."""
        if (self._folder / DEADLY_AT_START).exists():
            os._exit(1)
        picture = PictureIdentity(
            hardware="cpu",
            dtype="float32",
            weights="none",
            scheduler="none",
            matmul_precision="highest",
            tf32=False,
            attention="none",
        )
        timing = TimingIdentity(picture=picture, device_uuid=None, power_limit_w=None, cpu="cpu", threads=1)
        return Fingerprint(timing=timing, stack={"niceness": str(os.nice(0))})

    def draw(self, prompt: Prompt, _: Rank | None) -> Drawn:
        """Leave a mark, then die or answer."""
        with (self._folder / f"{prompt.number}.starts").open("a", encoding="utf-8") as file:
            file.write(f"{os.getpid()}\n")
        starts = len((self._folder / f"{prompt.number}.starts").read_text(encoding="utf-8").splitlines())
        if prompt.number == DEADLY or (prompt.number == DEADLY_ONCE and starts == 1):
            os._exit(1)
        result = PromptResult(number=prompt.number, line=prompt.line, prompt=prompt.text, seed=prompt.seed)
        return Drawn(result=result, pictures={})
