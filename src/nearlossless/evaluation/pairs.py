"""One prompt, drawn by baseline and recipe from the same initial latents, compared and scored."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nearlossless.backends import BackendError, BackendUnavailable
from nearlossless.baselines.comparison import tripped
from nearlossless.baselines.expected import encode_png
from nearlossless.cases.case import Case, CaseError
from nearlossless.environment import Fingerprint, environment_variables
from nearlossless.evaluation.prompts import Prompt
from nearlossless.evaluation.results import Drawn, PromptResult, Rank, Status, unfinished
from nearlossless.measuring.building import compile_beside
from nearlossless.metrics.clip import ClipReader, clip_reader, judge_folder
from nearlossless.metrics.features import FeatureReader, feature_reader
from nearlossless.metrics.pixels import Pixels
from nearlossless.metrics.scores import compare
from nearlossless.pipelines.drawing import draw
from nearlossless.pipelines.loading import build_baseline, fingerprint_of
from nearlossless.pipelines.requests import Request
from nearlossless.progress import Progress
from nearlossless.runs.selection import Subject

if TYPE_CHECKING:
    from PIL import Image

Pictures = dict[str, "Image.Image"]
BASELINE, RECIPE = "baseline", "recipe"


class DeviceLost(BackendUnavailable):
    """A prompt left a GPU on which nothing can be computed any more: its process has died of it, but for the name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairDrawer:
    """Both pipelines of a case on one device, and what reads their pictures."""

    case: Case
    variables: Mapping[str, str]  # of the recipe's, in force while it draws
    baseline: Any
    compiled: Any
    fingerprint: Fingerprint
    judge: ClipReader | None
    network: FeatureReader | None

    def draw(self, prompt: Prompt, cut: Rank | None) -> Drawn:
        """
        Draw and compare one prompt; what a pipeline raises is the prompt's result.

        Args:
            prompt: What is drawn.
            cut: Pictures are kept of a prompt that is no better than this; None keeps them all.

        Raises:
            CaseError: Features cannot be kept.
            DeviceLost: Every prompt after this one would fail too, through no fault of its own.
        """
        generation = self.case.generation
        request = Request(prompt.text, prompt.seed, generation.height, generation.width, generation.steps)
        pictures: Pictures = {}
        try:
            with environment_variables(self.variables):
                pictures[BASELINE] = draw(self.baseline, generation, request)
                pictures[RECIPE] = draw(self.compiled, generation, request)
        except BackendError as error:
            if not _gpu_computes():
                problem = f"the GPU computes nothing any more since prompt {prompt.number}: {error}"
                raise DeviceLost(f"{problem}; results so far are kept, the same command goes on") from None
            status = Status.RECIPE_FAILED if pictures else Status.BASELINE_FAILED
            result = unfinished(prompt, status, str(error))
        else:
            result = self._compared(prompt, request, pictures)
        is_kept = cut is None or result.rank <= cut
        return Drawn(result=result, pictures={n: encode_png(p) for n, p in pictures.items()} if is_kept else {})

    def _compared(self, prompt: Prompt, request: Request, pictures: Pictures) -> PromptResult:
        live, obtained = pictures[BASELINE], pictures[RECIPE]
        problems = tripped(obtained, live, request)
        result = PromptResult(
            number=prompt.number,
            line=prompt.line,
            prompt=prompt.text,
            seed=prompt.seed,
            problem=", ".join(problems) or None,
            scores=compare(Pixels(obtained), Pixels(live)) if obtained.size == live.size else None,
        )
        if self.judge is not None:
            before, after = self.judge(live, prompt.text), self.judge(obtained, prompt.text)
            result = replace(
                result,
                baseline_clip=before.score,
                compiled_clip=after.score,
                baseline_features=packed(before.features),
                compiled_features=packed(after.features),
            )
        if self.network is not None:
            networks = packed(self.network(live)), packed(self.network(obtained))
            result = replace(result, baseline_network=networks[0], compiled_network=networks[1])
        return result


def _gpu_computes() -> bool:
    """Whether the GPU still does, if one is in use: an illegal access ends all that a process can do there."""
    import torch

    try:
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()
    except RuntimeError:
        return False
    return True


def packed(features_D: np.ndarray) -> bytes:
    """
    Features as float16 in little-endian bytes: half the room, and finer than what sets of them can tell.

    Raises:
        CaseError: They have none: they are beyond 65,504, or no numbers.
    """
    with np.errstate(over="ignore"):
        kept_D = features_D.astype("<f2")
    if not np.isfinite(kept_D).all():
        raise CaseError(
            f"features of a picture reach {np.abs(features_D).max():g}: only numbers up to 65,504 can be kept, and no"
            " distance is computed of others; name a vision model whose features are smaller"
        )
    return kept_D.tobytes()


def one_picture_a_call(case: Case) -> Case:
    """The case as an evaluation draws it: prompt by prompt, so that no picture depends on its neighbours."""
    model = case.model.model_copy(update={"vae_slicing": False})
    return case.model_copy(update={"generation": case.generation.model_copy(update={"batch_size": 1}), "model": model})


def build_drawer(subject: Subject, features: str | None, progress: Progress) -> PairDrawer:
    """
    Load the baseline, compile the recipe beside it, and load what reads the pictures.

    Raises:
        CaseError: Something cannot be loaded, or nothing could be compared with it.
        BackendError, BackendUnavailable, BaselineError, BaselineChanged: As `compile_beside`.
    """
    case = subject.case
    if subject.declared_not_to_fit is not None:
        raise CaseError(f"{subject.id} has no baseline to be compared with: {subject.declared_not_to_fit}")
    with progress.phase("baseline pipeline: load"):
        baseline = build_baseline(case, subject.device)
    with environment_variables(subject.recipe.environment):
        compiled, _ = compile_beside(baseline, subject, progress)
    fingerprint = fingerprint_of(baseline, case, subject.device).with_variables(subject.recipe.environment)
    return drawer_of(subject, baseline, compiled, fingerprint, features)


def drawer_of(
    subject: Subject, baseline: Any, compiled: Any, fingerprint: Fingerprint, features: str | None
) -> PairDrawer:
    """The drawer of two pipelines that are there already."""
    case = subject.case
    return PairDrawer(
        case=case,
        variables=subject.recipe.environment,
        baseline=baseline,
        compiled=compiled,
        fingerprint=fingerprint,
        judge=clip_reader(judge_folder(case.judge)) if case.judge is not None else None,
        network=feature_reader(Path(features).expanduser()) if features is not None else None,
    )
