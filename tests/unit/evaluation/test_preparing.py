"""What is refused before anything is loaded: whatever could be drawn for hours and never be judged."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from nearlossless.cases.case import CaseError
from nearlossless.evaluation.preparing import Prepared, Wanted, prepare
from nearlossless.metrics.clip import embedding_size
from nearlossless.miniature import JUDGE
from nearlossless.runs.selection import select_subjects

pytest.importorskip("pyarrow")

SIZE = 96  # of the miniature judge's embeddings
ROWS = np.random.default_rng(0).normal(size=(3, SIZE))
Prepare = Callable[..., Prepared]


@pytest.fixture
def prepare_tiny(baselines: Path, prompts_file: Path, tmp_path: Path) -> Prepare:
    """Prepares the tiny case under a band, with a reference that holds something, and a network's folder."""

    def call(bands: str, reference: tuple[str, ...] = (), *, network: bool = False, size: int = SIZE) -> Prepared:
        path = baselines / "tiny" / "case.toml"
        case = path.read_text(encoding="utf-8")
        path.write_text(case.replace("max_share_off = 0.01", bands), encoding="utf-8")
        (subject,) = select_subjects(baselines, cases=["tiny"], recipes=["same"])
        source = tmp_path / "r.safetensors"
        save_file(dict.fromkeys(reference, ROWS[:, :size]), source)
        (tmp_path / "network").mkdir()
        return prepare(
            Wanted(
                subject=subject,
                folder=tmp_path / "results",
                prompts=str(prompts_file),
                reference=source if reference else None,
                features=str(tmp_path / "network") if network else None,
            )
        )

    return call


def test_case_without_a_judge_is_refused(baselines: Path, prepare_tiny: Prepare) -> None:
    """No mean CLIP drop can be computed, which every set needs."""
    path = baselines / "tiny" / "case.toml"
    path.write_text(path.read_text(encoding="utf-8").replace('judge = "miniature"', ""), encoding="utf-8")
    with pytest.raises(CaseError, match="case 'tiny' has no judge"):
        prepare_tiny("max_cmmd = 1.0")


@pytest.mark.parametrize(
    ("bands", "reference", "network", "told"),
    [
        ("max_fid = 1.0", (), False, "evaluation.max_fid .* give --features"),
        ("max_reference_fid = 1.0", ("features", "network"), False, "evaluation.max_reference_fid .* give --features"),
        ("max_reference_cmmd = 1.0", (), False, "evaluation.max_reference_cmmd .* give --reference"),
        ("min_reference_fid = 1.0", ("features",), True, "evaluation.min_reference_fid .* holds no 'network'"),
        ("min_reference_kid = 0.1", ("network",), True, "evaluation.min_reference_kid .* holds no 'features'"),
    ],
)
def test_band_of_what_is_not_computed_is_refused(
    prepare_tiny: Prepare, bands: str, reference: tuple[str, ...], network: bool, told: str
) -> None:
    """No network, no reference, or one of another kind: the band is named, and what to do."""
    with pytest.raises(CaseError, match=told):
        prepare_tiny(bands, reference, network=network)


@pytest.mark.parametrize(
    ("bands", "reference", "network"),
    [
        ("max_cmmd = 1.0, max_kid = 0.1", (), False),
        ("max_fid = 1.0", (), True),
        ("max_reference_cmmd = 1.0, max_reference_fid = 1.0", ("features", "network"), True),
        ("max_reference_kid = 0.1", ("features", "network"), False),
    ],
)
def test_band_of_what_is_computed_is_not(
    prepare_tiny: Prepare, bands: str, reference: tuple[str, ...], network: bool
) -> None:
    """Each has what it needs; of a reference some may be left over."""
    assert len(prepare_tiny(bands, reference, network=network).prompts) == 12


def test_reference_of_no_use_is_refused(prepare_tiny: Prepare) -> None:
    """One that only FID could be compared with, where no network computes it."""
    with pytest.raises(CaseError, match="has only what FID compares"):
        prepare_tiny("max_cmmd = 1.0", ("network",))


def test_reference_of_another_clip_is_refused(prepare_tiny: Prepare) -> None:
    """Of as many numbers as the judge's own embeddings or not at all."""
    with pytest.raises(CaseError, match="have 95 numbers a picture, these 96"):
        prepare_tiny("max_cmmd = 1.0", ("features",), size=SIZE - 1)


def test_size_of_embeddings_is_read_where_it_stands(tmp_path: Path) -> None:
    """The miniature's judge tells; a folder without `config.json`, or with one that says nothing, does not."""
    assert embedding_size(JUDGE) == SIZE
    assert embedding_size(tmp_path) is None
    (tmp_path / "config.json").write_text("[]", encoding="utf-8")
    assert embedding_size(tmp_path) is None
