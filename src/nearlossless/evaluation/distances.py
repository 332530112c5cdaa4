"""How far apart the features of two sets of pictures lie: CMMD, KID, FID. Memory does not grow with the sets."""

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from nearlossless.cases.case import CaseError
from nearlossless.metrics.threads import one_thread

if TYPE_CHECKING:
    from torch import Tensor

CMMD_SIGMA, CMMD_SCALE = 10.0, 1000.0
MOST_IN_CMMD = 20_000  # its time grows with the square: a prefix of a shuffled list is a sample
CMMD_BLOCK = 1024
KID_SUBSETS, KID_SUBSET_SIZE, KID_SEED = 100, 1000, 0


@one_thread()
def cmmd(first_ND: "Rows", second_MD: "Rows") -> float:
    """
    CLIP maximum mean discrepancy of two sets of embeddings; 0 means identical sets.

    Args:
        first_ND: Embeddings, of any length: they are scaled to unit length.
        second_MD: The same of another set. Of each at most the first 20,000 are taken.

    Source:
        Jayasumana et al. 2024, "Rethinking FID: Towards a Better Evaluation Metric for Image Generation",
        arXiv:2401.09603: squared MMD (biased, so that it is never negative), Gaussian kernel of bandwidth 10,
        times 1000.
    """
    within = _mean_kernel(first_ND, first_ND) + _mean_kernel(second_MD, second_MD)
    return max(0.0, CMMD_SCALE * (within - 2 * _mean_kernel(first_ND, second_MD)))


def _mean_kernel(first_ND: "Rows", second_MD: "Rows") -> float:
    import torch

    total, first, second = 0.0, min(len(first_ND), MOST_IN_CMMD), min(len(second_MD), MOST_IN_CMMD)
    for start in range(0, first, CMMD_BLOCK):
        rows = _unit(first_ND[start : min(start + CMMD_BLOCK, first)])
        for other in range(0, second, CMMD_BLOCK):
            products = rows @ _unit(second_MD[other : min(other + CMMD_BLOCK, second)]).T
            # exp(x) - 1 keeps the digits that 1 + ... would drown: all kernel values are near 1.
            total += float(torch.expm1((products - 1) / CMMD_SIGMA**2).sum())
    return total / (first * second)


def _unit(features_ND: np.ndarray) -> "Tensor":
    import torch

    return torch.nn.functional.normalize(_doubles(features_ND), dim=1)


def _doubles(features_ND: np.ndarray) -> "Tensor":
    import torch

    return torch.from_numpy(np.array(features_ND, dtype=np.float64))


@one_thread()
def kid(first_ND: "Rows", second_MD: "Rows") -> float:
    """
    Kernel inception distance: mean over 100 seeded subsets of 1,000 (or of all, if they are fewer); about 0 if alike.

    It is unbiased, so that it may be slightly negative; of two sets drawn pair by pair alike it is. Its kernel is
    (x y / D + 1) ** 3: of embeddings of unit length it never exceeds `most_kid`.

    Source: Bińkowski et al. 2018, "Demystifying MMD GANs", arXiv:1801.01401; polynomial MMD by torchmetrics.
    """
    from torchmetrics.image.kid import poly_mmd

    random, size = np.random.default_rng(KID_SEED), min(KID_SUBSET_SIZE, len(first_ND), len(second_MD))
    values = []
    for _ in range(KID_SUBSETS):
        chosen = [np.sort(random.choice(len(found), size, replace=False)) for found in (first_ND, second_MD)]
        subsets = [_doubles(found[places]) for found, places in zip((first_ND, second_MD), chosen, strict=True)]
        values.append(float(poly_mmd(*subsets)))
    return sum(values) / len(values)


def most_kid(size: int) -> float:
    """The KID of two sets of unit-length embeddings with so many numbers, all of one opposite to all of the other."""
    return 2 * ((1 + 1 / size) ** 3 - (1 - 1 / size) ** 3)


@one_thread()
def fid(first_ND: "Rows", second: "Rows | Moments") -> float:
    """
    Fréchet inception distance; 0 means equal means and covariances.

    Args:
        first_ND: Features of one set, at least two.
        second: Features of the other, or its mean and covariance.

    Raises:
        CaseError: Features are so large, or no numbers, that they have no mean or covariance.

    Source: Heusel et al. 2017, arXiv:1706.08500; by torchmetrics, which takes the features as they are here.
    """
    import torch
    from torchmetrics.image.fid import FrechetInceptionDistance

    class AsTheyAre(torch.nn.Module):
        """Features in place of a network that makes some."""

        num_features = int(first_ND.shape[1])

        def forward(self, features: "Tensor") -> "Tensor":
            return features if features.ndim == 2 else features.new_zeros(1, self.num_features)

    metric = FrechetInceptionDistance(feature=AsTheyAre())
    _take(metric, first_ND, real=False)
    if not isinstance(second, tuple):
        _take(metric, second, real=True)
    else:
        count, (mean, covariance) = len(first_ND), map(_doubles, second)
        metric.real_features_num_samples = torch.tensor(count)
        metric.real_features_sum = mean * count
        metric.real_features_cov_sum = covariance * (count - 1) + count * torch.outer(mean, mean)
    sums = [metric.real_features_sum, metric.fake_features_sum]
    sums += [metric.real_features_cov_sum, metric.fake_features_cov_sum]
    if not all(bool(torch.isfinite(each).all()) for each in sums):  # to LAPACK they could be the end of the process
        raise CaseError("FID: the network's features are not finite numbers that can be squared")
    return float(metric.compute())


class Rows(Protocol):
    """Features of shape (N, D), of which some rows are read at a time."""

    @property
    def shape(self) -> tuple[int, ...]:
        """N and D."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any, /) -> Any: ...


Moments = tuple[np.ndarray, np.ndarray]  # mean of shape (D,) and covariance of shape (D, D)


def _take(metric: Any, features_ND: "Rows", *, real: bool) -> None:
    for start in range(0, len(features_ND), CMMD_BLOCK):
        metric.update(_doubles(features_ND[start : start + CMMD_BLOCK]), real=real)
