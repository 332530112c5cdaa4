"""Quantiles and drawings of all results."""

import math
from pathlib import Path

import numpy as np
import pytest
from tests.scores import scores
from tests.unit.evaluation.conftest import MakeResult

from nearlossless.cases.case import CaseError
from nearlossless.evaluation.identity import RunIdentity
from nearlossless.evaluation.pairs import packed
from nearlossless.evaluation.results import Drawn

pytest.importorskip("pyarrow")
from nearlossless.evaluation.figures import columns, features_of, quantiles, results_sha256
from nearlossless.evaluation.store import Store
from nearlossless.report.plots import Plot, plotted
from nearlossless.report.plots.distributions import distributions


def test_quantiles_count_from_the_bad_end(make_result: MakeResult) -> None:
    """One in a hundred prompts is at or below the 1 % quantile of a figure of which more is better, or at or above."""
    results = [make_result(n, scores=scores(n / 100), compiled_clip=30 - n / 10) for n in range(100)]
    found = quantiles(columns(results))
    assert found["worst-tile SSIM"]["1 %"] == 0.0
    assert found["worst-tile SSIM"]["50 %"] == pytest.approx(0.49)
    assert found["CLIP drop, points"]["1 %"] == pytest.approx(9.9)
    assert found["CLIP drop, points"]["50 %"] == pytest.approx(5.0)


def test_figures_that_nobody_computed_have_no_quantiles(make_result: MakeResult) -> None:
    """A prompt without scores is left out, and a figure without any prompt too."""
    results = [make_result(n, scores=scores() if n else None, baseline_clip=None) for n in range(3)]
    found = quantiles(columns(results))
    assert found["worst-tile SSIM"]["50 %"] == 1.0
    assert "CLIP drop, points" not in found


def test_hash_is_of_every_value_and_the_order(make_result: MakeResult) -> None:
    """A last bit of a score, a byte of an embedding, the order: each changes it; NaN does not."""
    first, second = make_result(0), make_result(1)
    same = results_sha256([first, second])
    assert results_sha256([make_result(0), make_result(1)]) == same
    changed = [
        [second, first],
        [make_result(0, compiled_clip=math.nextafter(30.0, 31.0)), second],
        [make_result(0, scores=scores(math.nextafter(1.0, 0.0))), second],
        [make_result(0, compiled_features=b"\x01<" * 4), second],
    ]
    assert same not in {results_sha256(results) for results in changed}


def test_features_come_from_disk_and_leave_nothing(tmp_path: Path, make_result: MakeResult) -> None:
    """One row a prompt that has them, of those that were judged; the files are gone afterwards."""
    identity = RunIdentity(case="c", recipe="r", device="cpu", prompts_sha256="", prompts=9, settings={}, threads=1)
    with Store(tmp_path / "results", identity) as store:
        for number in range(5):
            values = np.full(4, number, dtype="<f2").tobytes() if number != 1 else None
            store.add(Drawn(result=make_result(number, compiled_features=values), pictures={}))
        with features_of(store, 4) as found:
            rows = found["compiled_features"]
            assert [rows[a:b][:, 0].tolist() for a, b in ((0, 3), (1, 9), (3, 5))] == [[0, 2, 3], [2, 3], []]
            assert rows[np.array([2, 0])].tolist() == [[3] * 4, [0] * 4]
            assert found["baseline_network"].shape == found["baseline_network"][0:9].shape == (0, 0)
        assert not list((tmp_path / "results").glob(".features*"))


def test_features_that_cannot_be_kept_are_told() -> None:
    """Where float16 ends, on either side, and of what is no number, nothing is kept; a hair before it is."""
    kept = packed(np.array([65_519, -65_519], dtype=np.float32))
    assert np.frombuffer(kept, dtype="<f2").tolist() == [65_504, -65_504]
    for extreme in (65_520, -65_520, math.nan):
        with pytest.raises(CaseError, match="can be kept"):
            packed(np.array([1, extreme], dtype=np.float32))


def test_single_worst_is_no_quantile(make_result: MakeResult) -> None:
    """Of 99 prompts there is no worst hundredth, of a hundred there is."""
    found = [quantiles(columns([make_result(n) for n in range(count)]))["PSNR, dB"] for count in (99, 100)]
    assert ["1 %" in shares for shares in found] == [False, True]


def test_results_are_drawn_as_they_are_spread(tmp_path: Path, make_result: MakeResult) -> None:
    """Scatter and curves, the same bytes for the same results; the words tell how many lie below the live band."""
    pytest.importorskip("matplotlib")
    identity = RunIdentity(case="c", recipe="r", device="cpu", prompts_sha256="", prompts=9, settings={}, threads=1)
    with Store(tmp_path, identity) as store:
        for number in range(9):
            drawn = make_result(number, compiled_clip=30.0 - number, scores=scores(0.9 + number / 100))
            store.add(Drawn(result=drawn, pictures={}))

    def plots(judged: int) -> list[Plot]:
        found = distributions(tmp_path, judged, min_ssim=0.92)
        return [plotted(drawing, f"p{number}") for number, drawing in enumerate(found)]

    drawings = plots(9)
    assert drawings == plots(9) != plots(5)
    assert [plot.title for plot in drawings] == [
        "CLIP score of each prompt",
        "Change of the CLIP score",
        "Worst-tile SSIM",
    ]
    assert "0.92, the least that is allowed; 22.22% lie below" in drawings[2].words
    assert "9 prompts" in drawings[0].words
