"""The benchmark's decisions: how peers decide, what counts as caught, and the rates with their intervals."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.stats import beta
from tests.benchmarks.quality.changes import Change
from tests.benchmarks.quality.judging import Decision
from tests.benchmarks.quality.page import GATES, OURS, Row, figures, rate
from tests.benchmarks.quality.peers import PEERS, Peer

from nearlossless.miniature.world import draw, scene_at
from nearlossless.verdicts import Outcome


def unchanged(pipeline: object) -> object:
    """Nothing."""
    return pipeline


def row(*outcomes: Outcome, is_defect: bool, refused_by: tuple[str, ...] = ()) -> Row:
    """A change with one decision for each outcome."""
    decisions = [
        Decision(
            seed=seed,
            outcome=outcome,
            caught_by=[],
            worst_tile_ssim=1.0,
            parity_ratio=1.0,
            largest_difference=0,
            refused_by=list(refused_by),
            expected=Path(),
            obtained=Path(),
        )
        for seed, outcome in enumerate(outcomes)
    ]
    return Row(change=Change(apply=unchanged), is_defect=is_defect, decisions=decisions)


def test_only_a_regression_catches_a_defect() -> None:
    """A defect that could not be compared counts as missed."""
    found = row(Outcome.REGRESSION, Outcome.NOT_COMPARABLE, Outcome.PASS, is_defect=True)
    assert found.refusals(OURS) == 1
    assert not found.is_right
    assert row(Outcome.REGRESSION, is_defect=True).is_right


def test_only_a_pass_leaves_a_benign_change_alone() -> None:
    """A benign change that could not be compared counts as refused."""
    found = row(Outcome.PASS, Outcome.NOT_COMPARABLE, Outcome.REGRESSION, is_defect=False)
    assert found.refusals(OURS) == 2
    assert not found.is_right
    assert row(Outcome.PASS, is_defect=False).is_right


@pytest.mark.parametrize(("caught", "count"), [(0, 45), (3, 45), (45, 45)])
def test_intervals_are_exact(caught: int, count: int) -> None:
    """Rates come with Clopper and Pearson's interval, by the quantiles of its beta distributions."""
    outcomes = [Outcome.REGRESSION] * caught + [Outcome.PASS] * (count - caught)
    found = rate([row(*outcomes, is_defect=True), row(Outcome.REGRESSION, is_defect=False)], OURS, defects=True)
    low = 0.0 if caught == 0 else beta.ppf(0.025, caught, count - caught + 1)
    high = 1.0 if caught == count else beta.ppf(0.975, caught + 1, count - caught)
    assert (found["refused"], found["of"]) == (caught, count)
    assert math.isclose(found["low"], low, abs_tol=1e-9)
    assert math.isclose(found["high"], high, abs_tol=1e-9)


def test_figures_hold_every_gate() -> None:
    """Each gate, ours and the peers', has its rate of defects caught and of false alarms, and its cell in each row."""
    rows = [row(Outcome.REGRESSION, is_defect=True, refused_by=("SGLang",)), row(Outcome.PASS, is_defect=False)]
    found = figures(rows, {})
    assert set(found["rates"]) == set(GATES)
    assert found["rates"]["SGLang"]["defects"]["refused"] == 1
    assert found["rates"]["OneDiff"]["defects"]["refused"] == 0
    assert [change["refused"][OURS] for change in found["changes"]] == [1, 0]


@pytest.fixture
def stored(tmp_path: Path) -> Callable[[np.ndarray], Path]:
    """Writes pixels as a PNG of its own."""

    def store(pixels_HWC: np.ndarray) -> Path:
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.png"
        Image.fromarray(pixels_HWC.round().clip(0, 255).astype(np.uint8)).save(path)
        return path

    return store


def _peer(name: str) -> Peer:
    return next(peer for peer in PEERS if peer.name == name)


def _noisy(pixels_HWC: np.ndarray, deviation: float) -> np.ndarray:
    return pixels_HWC + np.random.default_rng(0).normal(0, deviation, pixels_HWC.shape)


@pytest.mark.parametrize(
    ("name", "passes", "fails"), [("SGLang", 1.0, 12.0), ("OneDiff", 1.0, 60.0), ("diffusers, whole", 3.0, 20.0)]
)
def test_peers_stand_on_both_sides(
    name: str, passes: float, fails: float, stored: Callable[[np.ndarray], Path]
) -> None:
    """A peer lets the same picture and faint noise pass and refuses strong noise."""
    pixels = np.asarray(draw(scene_at(0)), dtype=np.float64)
    expected, refuses = stored(pixels), _peer(name).refuses
    assert not refuses(expected, expected)
    assert not refuses(expected, stored(_noisy(pixels, passes)))
    assert refuses(expected, stored(_noisy(pixels, fails)))


def test_corner_sees_the_last_channel_of_the_corner_only(stored: Callable[[np.ndarray], Path]) -> None:
    """Diffusers' slice is blue, three pixels square, bottom right: the rest may be anything."""
    pixels = np.full((32, 32, 3), 100.0)
    inside, outside, red = pixels.copy(), 255 - pixels, pixels.copy()
    inside[-1, -1, 2] = 0
    outside[-3:, -3:] = 100
    red[-1, -1, 0] = 0
    expected, refuses = stored(pixels), _peer("diffusers, corner").refuses
    assert refuses(expected, stored(inside))
    assert not refuses(expected, stored(outside))
    assert not refuses(expected, stored(red))


def test_black_is_refused_by_cosine_distance(stored: Callable[[np.ndarray], Path]) -> None:
    """A black picture has no direction: its distance is NaN, and that is not below the limit."""
    expected, black = stored(np.full((32, 32, 3), 100.0)), stored(np.zeros((32, 32, 3)))
    with np.errstate(invalid="ignore"):
        assert _peer("diffusers, whole").refuses(expected, black)
