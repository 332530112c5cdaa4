"""What is read of an evaluation before anything is loaded, so that no mistake shows after hours."""

from dataclasses import dataclass
from pathlib import Path

from nearlossless.cases.case import CaseError
from nearlossless.evaluation.bands import SetBand
from nearlossless.evaluation.distances import most_kid
from nearlossless.evaluation.identity import RunIdentity, identity_of
from nearlossless.evaluation.parquet import check_installed
from nearlossless.evaluation.prompts import PromptSet, read_prompts
from nearlossless.evaluation.reference import (
    COVARIANCE,
    FEATURES,
    MEAN,
    NETWORK,
    Reference,
    check_length,
    read_reference,
)
from nearlossless.metrics.clip import embedding_size, judge_folder
from nearlossless.runs.selection import Subject


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is evaluated and how; None takes what the case says."""

    subject: Subject  # whose case draws one picture a call
    folder: Path
    prompts: str | None = None
    reference: Path | None = None
    features: str | None = None
    threads: int | None = None
    stop_early: bool = False

    @property
    def feature_folder(self) -> str | None:
        """Of the network that FID compares."""
        return self.features or self.subject.case.evaluation.features


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What was read."""

    wanted: Wanted
    prompts: PromptSet
    reference: Reference | None
    identity: RunIdentity

    @property
    def reference_source(self) -> Path | None:
        """The file that other pictures' statistics came from."""
        return reference_path(self.wanted)

    @property
    def embedding_size(self) -> int | None:
        """How many numbers an embedding of the case's judge has; None where there is no telling."""
        judge = self.wanted.subject.case.judge
        return embedding_size(judge_folder(judge)) if judge is not None else None


def reference_path(wanted: Wanted) -> Path | None:
    """The file of reference statistics, if there is one."""
    named = wanted.subject.case.evaluation.reference
    return wanted.reference or (Path(named).expanduser() if named is not None else None)


def prepare(wanted: Wanted) -> Prepared:
    """
    Read prompts and reference, and say what the run is.

    Raises:
        CaseError: One of them cannot be used, says which line and why; or what is judged would never be computed.
        BackendUnavailable: What writes results is not installed.
    """
    check_installed()
    case = wanted.subject.case
    source = wanted.prompts or case.evaluation.prompts
    if source is None:
        raise CaseError(f"case '{case.name}' names no prompts: give --prompts FILE, or evaluation.prompts in case.toml")
    if case.judge is None:
        raise CaseError(
            f"case '{case.name}' has no judge, and no set is judged without CLIP scores: name a CLIP's folder by judge"
            " in case.toml"
        )
    if wanted.feature_folder is not None and not Path(wanted.feature_folder).expanduser().is_dir():
        raise CaseError(f"features '{wanted.feature_folder}' is no local folder")
    prompts, path = read_prompts(source, first_seed=case.generation.seeds[0]), reference_path(wanted)
    prepared = Prepared(
        wanted=wanted,
        prompts=prompts,
        reference=read_reference(path) if path is not None else None,
        identity=identity_of(wanted.subject, prompts, features=wanted.feature_folder, threads=wanted.threads),
    )
    _check_reference(prepared)
    check_bands(prepared, wanted.subject.thresholds_on("").evaluation)
    return prepared


def _check_reference(prepared: Prepared) -> None:
    """Whether the reference is of the case's CLIP, and of any use."""
    reference, path, embedding = prepared.reference, prepared.reference_source, prepared.embedding_size
    if reference is None:
        return
    if reference.features is None and prepared.wanted.feature_folder is None:
        raise CaseError(
            f"{path}: has only what FID compares, and nothing computes it: give --features FOLDER, evaluation.features"
            " in case.toml, or no reference"
        )
    if reference.features is not None and embedding is not None:
        check_length(reference.features.shape[1], embedding)


def _check_kid_can_fail(ceiling: float, size: int) -> None:
    if ceiling >= most_kid(size):
        raise CaseError(
            f"max_kid {ceiling:g} can never fail: the KID of this judge's embeddings, of {size} numbers each,"
            f" is at most {most_kid(size):.3g}, that of opposite ones"
        )


def check_bands(prepared: Prepared, bands: SetBand) -> None:
    """
    Whether every band can be judged, and can fail: drawing any number of prompts would not change that.

    Raises:
        CaseError: One of them cannot; names the band, and what to do.
    """
    if bands.max_kid is not None and prepared.embedding_size is not None:
        _check_kid_can_fail(bands.max_kid, prepared.embedding_size)
    reference, path = prepared.reference, prepared.reference_source
    for name, limit in bands:
        if limit is None:
            continue
        told = f"evaluation.{name} cannot be judged"
        if name.endswith("_fid") and prepared.wanted.feature_folder is None:
            raise CaseError(f"{told}: give --features FOLDER, or evaluation.features in case.toml")
        if "_reference_" not in name:
            continue
        if reference is None:
            raise CaseError(f"{told}: give --reference FILE, or evaluation.reference in case.toml")
        if name.endswith("_fid") and reference.network is None:
            raise CaseError(f"{told}: {path} holds no '{NETWORK}', and no '{MEAN}' with '{COVARIANCE}'")
        if not name.endswith("_fid") and reference.features is None:
            raise CaseError(f"{told}: {path} holds no '{FEATURES}'")
