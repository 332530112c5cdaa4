"""Subtle defects before five pictures and before a set: what is caught, and after how many prompts."""

import hashlib
from collections.abc import Callable
from itertools import islice
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from nearlossless.cases.case import Case, Generation, Model
from nearlossless.cases.recipes import Recipe
from nearlossless.cases.thresholds import Band, Thresholds
from nearlossless.environment import fingerprint
from nearlossless.evaluation.bands import SetBand
from nearlossless.evaluation.judging import Judge, leaves_band
from nearlossless.evaluation.pairs import PairDrawer
from nearlossless.evaluation.prompts import HELD_OUT, Prompt, read_prompts
from nearlossless.evaluation.results import PromptResult
from nearlossless.metrics.clip import clip_reader, judge_folder
from nearlossless.pipelines.loading import build_baseline
from nearlossless.verdicts import Outcome

STEPS, SIDE = 8, 64
ALPHA, FEW = 0.001, 5
DEFECT_OF_256 = 5  # values of a byte of the prompt's hash: 2 %
BLUR_PX, SHARPENING = 0.7, 0.56
# As of a recipe that is allowed a little loss: single pictures may move, the set may not.
THRESHOLDS = Thresholds(
    live=Band(min_ssim=0.98),
    max_clip_drop=5.0,
    evaluation=SetBand(max_clip_drop=0.3, max_share_off=0.005),
)
Change = Callable[[str, Image.Image], Image.Image]


class Once:
    """The baseline, drawing each request once: recipes that change its picture afterwards get the same one."""

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline
        self._key: tuple[str, int] | None = None
        self._picture: Any = None

    def __call__(self, prompt: str, generator: Any, **options: Any) -> Any:
        """Draw, or give again what was drawn for the same prompt and seed."""
        key = prompt, generator.initial_seed()
        if key != self._key:
            self._picture = self._pipeline(prompt=prompt, generator=generator, **options).images[0]
            self._key = key
        return Output(self._picture.copy())


class Output:
    """What a pipeline returns."""

    def __init__(self, picture: Image.Image) -> None:
        self.images = [picture]


class Changed:
    """A pipeline whose pictures are changed afterwards."""

    def __init__(self, pipeline: Any, change: Change) -> None:
        self._pipeline, self._change = pipeline, change

    def __call__(self, prompt: str, **options: Any) -> Any:
        """Draw and change."""
        return Output(self._change(prompt, self._pipeline(prompt=prompt, **options).images[0]))


def defect(prompt: str, picture: Image.Image) -> Image.Image:
    """A tile of an eighth of the side turned upside down and its colours inverted, in one prompt of fifty-one."""
    if hashlib.sha256(prompt.encode()).digest()[0] >= DEFECT_OF_256:
        return picture
    side = picture.width // 8
    box = (3 * side, 3 * side, 4 * side, 4 * side)
    picture.paste(Image.eval(picture.crop(box).rotate(180), lambda level: 255 - level), box)
    return picture


def sharpened(_: str, picture: Image.Image) -> Image.Image:
    """Every picture a little harsher: none is broken, and the judge finds all a little less like their prompts."""
    return Image.blend(picture, picture.filter(ImageFilter.GaussianBlur(BLUR_PX)), -SHARPENING)


CHANGES: dict[str, Change] = {
    "identical": lambda _, picture: picture,
    "defect in 2 % of prompts": defect,
    "sharpened: CLIP drops by 1 %": sharpened,
}


def calibration_case() -> Case:
    """The miniature in few steps at a small size: a thousand prompts in minutes."""
    return Case(
        name="calibration",
        model=Model(source="miniature", dtype={"cpu": "float32"}),
        judge="miniature",
        generation=Generation(
            prompts=("red ring",),
            seeds=(0,),
            height=SIDE,
            width=SIDE,
            steps=STEPS,
            guidance_scale=3.5,
            max_sequence_length=16,
            sizes=((SIDE, SIDE),),
        ),
        recipes={"same": Recipe(backend="inductor")},
    )


def drawers(case: Case) -> dict[str, PairDrawer]:
    """One for each change, all of one baseline."""
    baseline = Once(build_baseline(case, "cpu"))
    found = fingerprint(device="cpu", dtype="float32", weights="miniature", scheduler="")
    judge = clip_reader(judge_folder("miniature"))
    return {
        name: PairDrawer(
            case=case,
            variables={},
            baseline=baseline,
            compiled=Changed(baseline, change),
            fingerprint=found,
            judge=judge,
            network=None,
        )
        for name, change in CHANGES.items()
    }


def few_pass(results: list[PromptResult], draws: int) -> float:
    """Share of random fives of pictures that the quality gate's bands let pass."""
    off = np.array([bool(leaves_band(result, THRESHOLDS)) for result in results])
    random = np.random.default_rng(0)
    return float(np.mean([not off[random.choice(len(off), FEW, replace=False)].any() for _ in range(draws)]))


def judged(results: list[PromptResult]) -> tuple[int, Outcome]:
    """After how many prompts a judge that may stop early is certain, or what it says at the end."""
    judge = Judge(thresholds=THRESHOLDS, alpha=ALPHA, total=len(results))
    for result in results:
        judge.add(result)
        if judge.certain is not None:
            break
    return judge.count, judge.verdict({}).outcome


def measure_calibration(prompts: int, orders: int) -> dict[str, Any]:
    """Draw the miniature's captions under each change, and judge them in many orders."""
    case = calibration_case()
    pairs, results = drawers(case), {name: list[PromptResult]() for name in CHANGES}
    chosen: tuple[Prompt, ...] = tuple(islice(read_prompts(HELD_OUT, first_seed=0), prompts))
    for prompt in chosen:
        for name, drawer in pairs.items():
            results[name].append(drawer.draw(prompt, (-np.inf, 0)).result)
    found: dict[str, Any] = {"prompts": len(chosen), "orders": orders, "steps": STEPS, "side_px": SIDE, "alpha": ALPHA}
    found["changes"] = {name: _told(drawn, orders) for name, drawn in results.items()}
    return found


def _told(drawn: list[PromptResult], orders: int) -> dict[str, Any]:
    random = np.random.default_rng(1)
    ends = [judged([drawn[i] for i in random.permutation(len(drawn))]) for _ in range(orders)]
    counts = sorted(count for count, _ in ends)
    before = [result.baseline_clip or 0.0 for result in drawn]
    drops = [result.clip_drop or 0.0 for result in drawn]
    return {
        "mean_clip": float(np.mean(before)),
        "mean_clip_drop": float(np.mean(drops)),
        "relative_clip_drop": float(np.mean(drops) / np.mean(before)),
        "share_off": float(np.mean([bool(leaves_band(result, THRESHOLDS)) for result in drawn])),
        "worst_tile_ssim_1_percent": float(np.quantile([r.scores.worst_tile_ssim for r in drawn if r.scores], 0.01)),
        "five_pictures_pass": few_pass(drawn, 2000),
        "verdict": str(judged(drawn)[1]),
        "outcomes": {str(kind): sum(outcome is kind for _, outcome in ends) for kind in Outcome},
        "prompts_needed": {"median": counts[len(counts) // 2], "most": counts[-1]},
    }
