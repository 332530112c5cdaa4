"""Statistics of other pictures, for example of real ones: features, or their mean and covariance, as safetensors."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nearlossless.cases.case import CaseError
from nearlossless.evaluation.distances import Moments, Rows, cmmd, fid, kid

FEATURES, NETWORK, MEAN, COVARIANCE = "features", "network", "mean", "covariance"
_DIMENSIONS = {FEATURES: 2, NETWORK: 2, MEAN: 1, COVARIANCE: 2}
_FLOATS = ("F16", "F32", "F64")  # as safetensors calls them


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """`features` of the case's CLIP, for CMMD and KID; of a network its features, or their moments, for FID."""

    features: np.ndarray | None = None
    network: np.ndarray | Moments | None = None


def read_reference(path: Path) -> Reference:
    """
    Read a reference.

    Args:
        path: Safetensors with `features` of shape (N, D) by the case's CLIP, and with `network` (N, F) or `mean` (F,)
            and `covariance` (F, F) by the network that FID compares; one of the two is enough.

    Raises:
        CaseError: It cannot be read, holds none of them, or one that nothing can be compared with.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            names = [name for name in file.keys() if name in _DIMENSIONS]  # noqa: SIM118 - no mapping
            dtypes = {name: file.get_slice(name).get_dtype() for name in names}
            found = {name: file.get_tensor(name) for name in names if dtypes[name] in _FLOATS}
    except (OSError, SafetensorError) as error:
        raise CaseError(f"{path}: cannot be read as safetensors: {error}") from None
    for name in dtypes.keys() - found.keys():
        raise CaseError(f"{path}: '{name}' is {dtypes[name]}; of the kinds of numbers {', '.join(_FLOATS)} are read")
    network: np.ndarray | Moments | None = found.get(NETWORK)
    if network is None and MEAN in found and COVARIANCE in found:
        network = (found[MEAN], found[COVARIANCE])
    if network is None and FEATURES not in found:
        raise CaseError(f"{path}: holds no '{FEATURES}', no '{NETWORK}', no '{MEAN}' with '{COVARIANCE}'")
    _check_shapes(path, found)
    return Reference(features=found.get(FEATURES), network=network)


def _check_shapes(path: Path, found: Mapping[str, np.ndarray]) -> None:
    for name, values in found.items():
        told = f"{path}: '{name}' of shape {values.shape}"
        if values.ndim != _DIMENSIONS[name] or not values.size or not np.isfinite(values).all():
            raise CaseError(f"{told} has not {_DIMENSIONS[name]} dimension(s) of finite numbers")
        if name in (FEATURES, NETWORK) and len(values) < 2:
            raise CaseError(f"{told} is of one picture; a set has two or more")
    if MEAN in found and COVARIANCE in found and found[COVARIANCE].shape != 2 * found[MEAN].shape:
        shapes = f"'{MEAN}' of shape {found[MEAN].shape} and '{COVARIANCE}' of shape {found[COVARIANCE].shape}"
        raise CaseError(f"{path}: {shapes} are not (F,) and (F, F)")


def write_reference(path: Path, features: Iterable[np.ndarray]) -> None:
    """Write embeddings of shape (D,), one a picture, as a reference for CMMD and KID."""
    from safetensors.numpy import save_file

    save_file({FEATURES: np.stack([*features]).astype(np.float32)}, path)


def distances(
    baseline_ND: Rows,
    compiled_ND: Rows,
    networks: tuple[Rows, Rows],
    reference: Reference | None,
) -> dict[str, float]:
    """
    Every distance that can be computed, by the name of its ceiling in a case without `max_`.

    Args:
        baseline_ND: CLIP embeddings of the baseline's pictures; D is 0 without a CLIP.
        compiled_ND: Of the recipe's.
        networks: The same two by the network of the user's.
        reference: What else to compare the recipe's with.

    Raises:
        CaseError: The reference is of another model.
    """
    found: dict[str, float] = {}
    count = len(compiled_ND)
    if count < 2:
        return found
    if compiled_ND.shape[1]:
        found |= {"cmmd": cmmd(compiled_ND, baseline_ND), "kid": kid(compiled_ND, baseline_ND)}
        if reference is not None and reference.features is not None:
            check_length(reference.features.shape[1], compiled_ND.shape[1])
            found["reference_cmmd"] = cmmd(compiled_ND, reference.features)
            found["reference_kid"] = kid(compiled_ND, reference.features)
            found["baseline_reference_cmmd"] = cmmd(baseline_ND, reference.features)
            found["baseline_reference_kid"] = kid(baseline_ND, reference.features)
    baseline_NF, compiled_NF = networks
    if compiled_NF.shape[1]:
        found["fid"] = fid(compiled_NF, baseline_NF)
        if reference is not None and reference.network is not None:
            other = reference.network if isinstance(reference.network, np.ndarray) else reference.network[1]
            check_length(other.shape[1], compiled_NF.shape[1])
            found["reference_fid"] = fid(compiled_NF, reference.network)
            found["baseline_reference_fid"] = fid(baseline_NF, reference.network)
    return found


def check_length(reference: int, own: int) -> None:
    """
    Whether a reference's features have as many numbers as those that they are compared with.

    Raises:
        CaseError: They have not.
    """
    if reference != own:
        raise CaseError(f"the reference's features have {reference} numbers a picture, these {own}: of another model?")
