"""Distances between sets of features, against independent references."""

from pathlib import Path

import numpy as np
import pytest
import torch

from nearlossless.cases.case import CaseError
from nearlossless.evaluation import distances as computed
from nearlossless.evaluation.distances import KID_SEED, cmmd, fid, kid, most_kid
from nearlossless.evaluation.reference import COVARIANCE, MEAN, distances, read_reference, write_reference

NONE = np.zeros((0, 0), dtype=np.float32)


def features(count: int, *, shift: float = 0.0, seed: int = 0, size: int = 8) -> np.ndarray:
    """Gaussian features around `shift`."""
    return (np.random.default_rng(seed).normal(size=(count, size)) + shift).astype(np.float32)


def test_cmmd_is_its_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of three give what the sums over all pairs give."""
    monkeypatch.setattr(computed, "CMMD_BLOCK", 3)
    first, second = features(7), features(5, shift=1.0, seed=1)

    def mean_kernel(a: np.ndarray, b: np.ndarray) -> float:
        a, b = (x.astype(np.float64) / np.linalg.norm(x.astype(np.float64), axis=1, keepdims=True) for x in (a, b))
        return float(np.mean([[np.exp(-((x - y) ** 2).sum() / 200) for y in b] for x in a]))

    expected = 1000 * (mean_kernel(first, first) + mean_kernel(second, second) - 2 * mean_kernel(first, second))
    assert cmmd(first, second) == pytest.approx(expected, rel=1e-9)


def test_cmmd_of_a_set_with_itself_is_zero() -> None:
    """Alike is 0, in any order; another set is not."""
    first = features(50)
    assert cmmd(first, first[::-1]) == pytest.approx(0, abs=1e-9)
    assert cmmd(first, features(50, shift=0.5, seed=1)) > 0.1


def test_half_precision_hardly_moves_cmmd() -> None:
    """Features are kept as float16: what that changes is far below what two sets of one kind are apart."""
    first, second = features(200, size=64), features(200, seed=1, size=64)
    rounded = cmmd(first.astype(np.float16), second.astype(np.float16))
    assert rounded == pytest.approx(cmmd(first, second), rel=1e-3)


def test_kid_is_that_of_torchmetrics() -> None:
    """On one subset of all, whose order does not matter, the metric's own class gives the same."""
    from torchmetrics.image.kid import KernelInceptionDistance

    class AsTheyAre(torch.nn.Module):
        num_features = 8

        def forward(self, values: torch.Tensor) -> torch.Tensor:
            return values

    first, second = features(40), features(40, shift=0.3, seed=1)
    metric = KernelInceptionDistance(feature=AsTheyAre(), subsets=1, subset_size=40)
    metric.update(torch.from_numpy(first).double(), real=False)
    metric.update(torch.from_numpy(second).double(), real=True)
    assert kid(first, second) == pytest.approx(float(metric.compute()[0]), rel=1e-5)


def test_kid_is_the_mean_over_seeded_subsets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of sets larger than a subset, as its formula says, term by term, on subsets drawn with the same seed."""
    monkeypatch.setattr(computed, "KID_SUBSETS", 7)
    monkeypatch.setattr(computed, "KID_SUBSET_SIZE", 5)
    first, second = features(40), features(30, shift=0.3, seed=1)
    chance, expected = np.random.default_rng(KID_SEED), []

    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        return float((a @ b / 8 + 1) ** 3)

    for _ in range(7):
        a = first.astype(np.float64)[chance.choice(40, 5, replace=False)]
        b = second.astype(np.float64)[chance.choice(30, 5, replace=False)]
        within = [kernel(x[i], x[j]) for x in (a, b) for i in range(5) for j in range(5) if i != j]
        between = [kernel(x, y) for x in a for y in b]
        expected.append(sum(within) / 20 - 2 * np.mean(between))
    assert kid(first, second) == pytest.approx(np.mean(expected), rel=1e-9)
    assert np.std(expected) > 0.01 * np.mean(expected)


def test_no_kid_of_unit_length_exceeds_its_bound() -> None:
    """Opposite sets reach it, about 12 over the length of an embedding; sets at right angles do not."""
    ahead, aside = np.eye(2, 512, dtype=np.float32)
    most = kid(np.tile(ahead, (4, 1)), np.tile(-ahead, (4, 1)))
    assert most == pytest.approx(most_kid(512), rel=1e-9) == pytest.approx(12 / 512, rel=1e-4)
    assert kid(np.tile(ahead, (4, 1)), np.tile(aside, (4, 1))) < 0.6 * most


def test_no_cmmd_exceeds_its_bound() -> None:
    """Opposite sets, 39.6 as the page says."""
    ahead = np.tile(np.eye(1, 64, dtype=np.float32), (4, 1))
    assert cmmd(ahead, -ahead) == pytest.approx(39.6, abs=0.01)


def test_fid_of_gaussians_is_the_closed_form() -> None:
    """Equal covariances leave the squared distance of the means; features and their moments say the same."""
    first = features(500)
    second = first + np.float32(0.5)
    assert fid(first, second) == pytest.approx(8 * 0.25, rel=1e-3)
    moments = second.mean(0), np.cov(second, rowvar=False)
    assert fid(first, moments) == pytest.approx(fid(first, second), rel=1e-4)


def test_all_distances_are_named_as_their_bands(tmp_path: Path) -> None:
    """With features of both kinds and a reference every band finds its figure."""
    from safetensors.numpy import save_file

    other, network = features(30, seed=2), features(30, seed=3, size=4)
    path = tmp_path / "reference.safetensors"
    save_file({"features": other, MEAN: network.mean(0), COVARIANCE: np.cov(network, rowvar=False)}, path)
    found = distances(features(30), features(30, seed=1), (network, network + 1), read_reference(path))
    assert {"cmmd", "kid", "fid", "reference_cmmd", "reference_kid", "reference_fid"} <= found.keys()
    assert found["reference_fid"] == pytest.approx(found["fid"], rel=1e-3)


def test_without_features_there_are_no_distances() -> None:
    """A case without a CLIP has none, and a single picture is no set."""
    assert distances(NONE, NONE, (NONE, NONE), None) == {}
    assert distances(features(1), features(1), (NONE, NONE), None) == {}


def test_written_reference_is_read(tmp_path: Path) -> None:
    """Features of other pictures, kept by the project's own function."""
    write_reference(tmp_path / "r.safetensors", features(4))
    read = read_reference(tmp_path / "r.safetensors").features
    assert read is not None
    assert np.array_equal(read, features(4))


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ({"weights": features(2)}, "holds no 'features'"),
        ({MEAN: features(2)[0]}, "holds no 'features'"),
        ({"features": features(2)[0]}, "has not 2 dimension"),
        ({"features": features(0)}, "has not 2 dimension"),
        ({"features": features(1)}, "is of one picture"),
        ({"network": features(1)}, "is of one picture"),
        ({"features": np.full((2, 3), np.nan, dtype=np.float32)}, "'features' .* finite numbers"),
        ({"features": np.ones((2, 3), dtype=np.int32)}, "'features' is I32; .* F16, F32, F64 are read"),
        ({MEAN: features(1)[0], COVARIANCE: features(7)}, r"\(8,\) and 'covariance' of shape \(7, 8\)"),
        ({MEAN: features(1, size=7)[0], COVARIANCE: features(8)}, r"\(7,\) and 'covariance' of shape \(8, 8\)"),
    ],
)
def test_unusable_references_are_named(tmp_path: Path, found: dict[str, np.ndarray], told: str) -> None:
    """Nothing known in it, no set, other shapes, no fractions."""
    from safetensors.numpy import save_file

    save_file(found, tmp_path / "r.safetensors")
    with pytest.raises(CaseError, match=told):
        read_reference(tmp_path / "r.safetensors")


def test_reference_of_two_pictures_is_read(tmp_path: Path) -> None:
    """The smallest set, of a network and by its moments too; what else the file holds, in any kind, is no matter."""
    from safetensors.torch import save_file

    path, two = tmp_path / "r.safetensors", torch.from_numpy(features(2))
    save_file({"network": two, "notes": two.bfloat16()}, path)
    assert isinstance(read_reference(path).network, np.ndarray)
    save_file({MEAN: two.mean(0), COVARIANCE: two.T.cov()}, path)
    assert isinstance(read_reference(path).network, tuple)
    save_file({"features": two.bfloat16()}, path)
    with pytest.raises(CaseError, match="'features' is BF16"):
        read_reference(path)


def test_unreadable_references_are_named(tmp_path: Path) -> None:
    """Missing, no safetensors, another model's."""
    path = tmp_path / "r.safetensors"
    with pytest.raises(CaseError, match="cannot be read as safetensors"):
        read_reference(path)
    path.write_bytes(b"no safetensors")
    with pytest.raises(CaseError, match="cannot be read as safetensors"):
        read_reference(path)
    write_reference(path, features(4, size=5))
    with pytest.raises(CaseError, match="of another model"):
        distances(features(4), features(4), (NONE, NONE), read_reference(path))


@pytest.mark.parametrize("extreme", [np.inf, np.nan, 1e200])
def test_fid_of_no_numbers_is_told(extreme: float) -> None:
    """Features without a mean or covariance never reach LAPACK, which may end the process; the largest others do."""
    first = features(50).astype(np.float64)
    second = first.copy()
    second[3, 2] = extreme
    for sets in ((first, second), (second, first)):
        with pytest.raises(CaseError, match="not finite numbers"):
            fid(*sets)
    second[3, 2] = 65504
    assert np.isfinite(fid(first, second))
