"""The page of an evaluation, and its lines on the terminal."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.unit.evaluation.conftest import MakeResult

from nearlossless.baselines.expected import encode_png
from nearlossless.cases.thresholds import Band
from nearlossless.evaluation.bands import SetBand
from nearlossless.evaluation.identity import RunIdentity
from nearlossless.evaluation.record import EvaluationRecord, Mean, PaceRecord, WorstPrompt
from nearlossless.evaluation.results import Drawn
from nearlossless.record.verdicts import VerdictRecord
from nearlossless.report.evaluation import figure_rows, notes, render_evaluation, write_evaluation_page

pytest.importorskip("pyarrow")
pytest.importorskip("matplotlib")
from nearlossless.evaluation.store import Store

EVIL = "<img src=x onerror=alert(1)>\u202e"


def record(**changes: Any) -> EvaluationRecord:
    """One prompt that was drawn, of three."""
    sound: dict[str, Any] = {
        "nearlossless_version": "0",
        "started": "now",
        "command": EVIL,
        "case": "c",
        "recipe": "r",
        "device": "cpu",
        "width": 64,
        "height": 32,
        "prompts_source": EVIL,
        "prompts_sha256": "0",
        "prompts": 3,
        "judged": 1,
        "stopped_early": True,
        "verdict": VerdictRecord(gate="evaluation", outcome="REGRESSION", reason=EVIL, test="t"),
        "band": SetBand(min_clip=31.5, max_clip=32.0, max_share_off=0.02, max_kid=0.1),
        "live": Band(min_ssim=0.98),
        "max_clip_drop": None,
        "alpha": 0.001,
        "compiled_clip": Mean(mean=31.7, low=31.0, high=32.4),
        "off": 1,
        "share_off": Mean(mean=0.05, low=0.01, high=0.2),
        "distances": {"kid": 0.25, "baseline_reference_kid": 0.5},
        "worst": [
            WorstPrompt(
                number=0,
                line=1,
                prompt=EVIL,
                seed=0,
                status="drawn",
                problem=None,
                worst_tile_ssim=0.5,
                worst_tile_xywh=(8, 4, 4, 4),
                psnr_db=20.0,
                colour_difference=0.1,
                clip_drop=None,
                baseline_file="pictures/000000.baseline.png",
                recipe_file="pictures/000000.recipe.png",
            )
        ],
        "results_sha256": "0",
        "pace": PaceRecord(prompts=1, seconds=1.0, workers=1, engine="e"),
        "picture": {},
        "stack": {},
    }
    return EvaluationRecord.model_validate({**sound, **changes})


def test_figures_stand_beside_what_is_required() -> None:
    """A floor and a ceiling of MLPerf's kind, a share in percent, a distance, and one that no band judges."""
    assert figure_rows(record()) == [
        ("mean CLIP score, recipe", "31.7", ">= 31.5, <= 32", "31 to 32.4"),
        ("share of prompts off", "5 %", "<= 2 %", "1 % to 20 %"),
        ("KID", "0.25", "<= 0.1", ""),
        ("baseline reference KID", "0.5", "", ""),
    ]


def test_share_that_nobody_can_tell_is_no_share() -> None:
    """A dash, not 0 %."""
    assert figure_rows(record(share_off=None))[1] == ("share of prompts off", "-", "<= 2 %", "")


def test_prompts_do_not_steer_the_terminal() -> None:
    """Escape codes of a prompt that a reason quotes, and those of a name, are left out of what is printed."""
    evil = "\x1b[2Jred\x1b]0;title\x07"
    verdict = VerdictRecord(gate="evaluation", outcome="REGRESSION", reason=f"prompt of '{evil}' line 1", test="t")
    text = render_evaluation(record(recipe=evil, verdict=verdict), colour=False)
    assert text.count(r"\x1b[2Jred") == 2
    assert "\x1b" not in text


def test_notes_tell_what_off_means() -> None:
    """The live band, and the drop of a single picture where the case limits it."""
    assert notes(record())[0] == "Off: a picture that is broken or leaves the live band (min_ssim 0.98)."
    assert notes(record(max_clip_drop=5.0))[0].endswith("or loses more than 5 points of CLIP score.")


def test_page_is_one_of_the_report_s(tmp_path: Path, make_result: MakeResult) -> None:
    """Everything is escaped, nothing foreign may run, and the worst pairs open in the viewer with their worst tile."""
    identity = RunIdentity(case="c", recipe="r", device="cpu", prompts_sha256="", prompts=3, settings={}, threads=1)
    png = encode_png(Image.new("RGB", (64, 32)))
    with Store(tmp_path, identity) as store:
        store.add(Drawn(result=make_result(0), pictures={"baseline": png, "recipe": png}))
    page = write_evaluation_page(record(), tmp_path).read_text(encoding="utf-8")
    assert "<img src=x" not in page
    assert "\u202e" not in page
    assert "Content-Security-Policy" in page
    assert page.count("<style") == page.count("<script") == 1
    assert '<dialog id="viewer"' in page
    assert 'class="card comparable" data-width="64" data-height="32" data-live-tile="8,4,4,4"' in page
    assert page.count('src="data:image/webp;base64,') == 2
