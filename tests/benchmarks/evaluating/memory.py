"""Peak memory of an evaluation by its number of prompts: results that are made, kept, judged and reported for real."""

import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from nearlossless.environment import Fingerprint, fingerprint
from nearlossless.evaluation.command import Options, _subject
from nearlossless.evaluation.engines import Results
from nearlossless.evaluation.evaluating import evaluate
from nearlossless.evaluation.pairs import packed
from nearlossless.evaluation.preparing import Wanted, prepare
from nearlossless.evaluation.prompts import Prompt
from nearlossless.evaluation.results import Drawn, PromptResult
from nearlossless.evaluation.store import Store
from nearlossless.metrics.scores import Scores
from nearlossless.processes.environment import child_environment
from nearlossless.progress import Progress

DIMENSIONS = 512  # of an embedding, as of CLIP ViT-B/32: 2 KB a prompt for both pictures
PNG = b"\x89PNG" + b"\0" * 20_000


class Instant:
    """An engine that needs no time to draw: all that is left is what an evaluation keeps."""

    workers = 1

    def __init__(self) -> None:
        self._random = np.random.default_rng(0)

    def start(self) -> Fingerprint:
        """Nothing to build."""
        return fingerprint(device="cpu", dtype="float32", weights="none", scheduler="none")

    def results(self, prompts: Iterable[Prompt], store: Store) -> Results:
        """Random results, two embeddings each."""
        for prompt in prompts:
            similarity = float(self._random.random())
            features = self._random.normal(size=(2, DIMENSIONS)) / DIMENSIONS**0.5
            result = PromptResult(
                number=prompt.number,
                line=prompt.line,
                prompt=prompt.text,
                seed=prompt.seed,
                scores=_scores(similarity),
                baseline_clip=30.0,
                compiled_clip=30.0 - similarity,
                baseline_features=packed(features[0]),
                compiled_features=packed(features[1]),
            )
            is_kept = store.cut is None or result.rank <= store.cut
            yield Drawn(result=result, pictures={"baseline": PNG, "recipe": PNG} if is_kept else {})

    def close(self) -> None:
        """Nothing to give back."""


def _scores(similarity: float) -> Scores:
    return Scores(
        mean_ssim=similarity,
        worst_tile_ssim=similarity,
        worst_tile_xywh=(0, 0, 8, 8),
        ms_ssim=None,
        psnr_db=30.0,
        worst_tile_psnr_db=30.0,
        p99_difference=1,
        max_difference=2,
        channel_shift=(0.0, 0.0, 0.0),
        worst_tile_colour_difference=0.001,
        worst_colour_xywh=(0, 0, 8, 8),
    )


def measure_memory(counts: Iterable[int]) -> dict[str, Any]:
    """Peak resident bytes and seconds of a fresh process for each number of prompts."""
    found = {}
    for count in counts:
        command = [sys.executable, "-m", "tests.benchmarks.evaluating.memory", str(count)]
        done = subprocess.run(command, env=child_environment({}), stdout=subprocess.PIPE, text=True, check=True)
        found[count] = json.loads(done.stdout.splitlines()[-1])
    return {"dimensions": DIMENSIONS, "runs": found}


def main() -> None:
    """One number of prompts in this process."""
    from tests.benchmarks.evaluating.speed import CASE

    count = int(sys.argv[1])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "baselines" / "bench").mkdir(parents=True)
        (folder / "baselines" / "bench" / "case.toml").write_text(CASE, encoding="utf-8")
        prompts = folder / "prompts.jsonl"
        with prompts.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps({"prompt": f"{number} rings " + "and " * 15}) + "\n" for number in range(count))
        subject = _subject(Options(case="bench", recipe="same", baselines=folder / "baselines", device="cpu"))
        wanted = Wanted(subject=subject, folder=folder / "results", prompts=str(prompts), threads=1)
        start = perf_counter()
        evaluate(prepare(wanted), Instant(), Progress(lambda _: None))
        seconds = perf_counter() - start
        bytes_on_disk = sum(path.stat().st_size for path in (folder / "results").rglob("*") if path.is_file())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    sys.stdout.write(json.dumps({"peak_bytes": peak, "seconds": seconds, "bytes_on_disk": bytes_on_disk}) + "\n")


if __name__ == "__main__":
    main()
